"""Frames computed once: a memory-mapped store of what a frozen upstream gives.

One raw float16 file and an index; of the formats measured (HDF5, npy, safetensors,
one file an utterance) the quickest to read back, and safe with forked workers.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from speechbrain.utils.logger import get_logger
from torch import nn
from tqdm import tqdm

from ser_lib.corpora import Utterance
from ser_lib.upstreams import Frames
from ser_lib.utils.distributed import n_processes, process_rank
from ser_lib.utils.files import atomic_path

logger = get_logger(__name__)

FRAMES_FILE = "frames.f16"
INDEX_FILE = "index.json"


class FrameStore:
    """Frames of many utterances, read by id.

    Arguments
    ---------
    folder : Path
        A folder that :func:`write_frames` made.

    Raises
    ------
    FileNotFoundError
        If the folder holds no finished store.
    ValueError
        If the frames file has not the size that the index promises.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> write_frames(folder, dim=2, frames=[("a", torch.tensor([[1.0, 2.0]]))])
    >>> FrameStore(folder)("a")
    tensor([[1., 2.]])
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        index_path = self.folder / INDEX_FILE
        if not index_path.is_file():
            raise FileNotFoundError(f"There is no finished frame store in {folder}.")
        index = json.loads(index_path.read_text(encoding="utf-8"))
        self.dim: int = index["dim"]
        self._rows: dict[str, list[int]] = index["rows"]  # id -> first frame, count
        expected = 2 * self.dim * sum(count for _, count in self._rows.values())
        found = (self.folder / FRAMES_FILE).stat().st_size
        if found != expected:
            raise ValueError(
                f"{self.folder / FRAMES_FILE} has {found} bytes, expected {expected}: "
                f"it was cut or overwritten."
            )
        self._frames: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def ids(self) -> list[str]:
        """Utterances in the store, in its order."""
        return list(self._rows)

    def __call__(self, utterance_id: str) -> torch.Tensor:
        """Read the frames of an utterance.

        Arguments
        ---------
        utterance_id : str
            An id of the manifest.

        Returns
        -------
        (time, dim) torch.Tensor
            Frames in float32.
        """
        if self._frames is None:  # mapped after a fork, in each worker
            path = self.folder / FRAMES_FILE
            mapped = np.memmap(path, dtype=np.float16, mode="r")
            self._frames = mapped.reshape(-1, self.dim)
        first, count = self._rows[utterance_id]
        return torch.from_numpy(self._frames[first : first + count].astype(np.float32))


def frames_of_batch(batch: PaddedBatch, names: Sequence[str]) -> dict[str, Frames]:
    """Read padded frames from a batch that a loader made of stores.

    Arguments
    ---------
    batch : PaddedBatch
        Has, for each name, values (batch, time, dim) and relative lengths (batch,).
    names : Sequence[str]
        Upstreams whose frames are stored.

    Returns
    -------
    dict[str, Frames]
        Frames of each upstream.
    """
    frames = {}
    for name in names:
        values, lens = getattr(batch, name)
        counts = torch.round(lens.double() * values.shape[1]).long()
        frames[name] = Frames(values, counts)
    return frames


def write_frames(
    folder: Path, dim: int, frames: Iterable[tuple[str, torch.Tensor]]
) -> None:
    """Write a store; the index comes last, so an unfinished store is none.

    Arguments
    ---------
    folder : Path
        Where the store is to be.
    dim : int
        Size of a frame.
    frames : Iterable[tuple[str, torch.Tensor]]
        Ids and their frames, (time, dim).
    """
    rows, first = {}, 0
    with atomic_path(Path(folder) / FRAMES_FILE) as unfinished:
        with open(unfinished, "wb") as f:
            for utterance_id, values in frames:
                f.write(values.to("cpu", torch.float16).numpy().tobytes())
                rows[utterance_id] = [first, len(values)]
                first += len(values)
    with atomic_path(Path(folder) / INDEX_FILE) as unfinished:
        unfinished.write_text(json.dumps({"dim": dim, "rows": rows}), encoding="utf-8")


def write_shared_frames(
    folder: Path, dim: int, frames: Iterable[tuple[str, torch.Tensor]]
) -> None:
    """Write one store of the frames that several processes compute, each its share.

    Arguments
    ---------
    folder : Path
        Where the store is to be.
    dim : int
        Size of a frame.
    frames : Iterable[tuple[str, torch.Tensor]]
        The share of this process: ids and their frames, (time, dim).
    """
    if n_processes() == 1:
        write_frames(folder, dim, frames)
        return
    parts = [folder / f"part_{rank}" for rank in range(n_processes())]
    write_frames(parts[process_rank()], dim, frames)
    ddp_barrier()
    if if_main_process():
        stores = [FrameStore(part) for part in parts]
        of_all = ((i, store(i)) for store in stores for i in store.ids)
        write_frames(folder, dim, of_all)
        for part in parts:
            shutil.rmtree(part)


def expected_frames(
    utterances: Sequence[Utterance], upstream: nn.Module, rate_hz: int
) -> int:
    """Estimate how many frames an upstream gives: by time, or by words.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        What is read.
    upstream : nn.Module
        Gives ``reads`` and ``hop_samples``.
    rate_hz : int
        Sample rate of the waveforms.

    Returns
    -------
    int
        Exact to some per mille for speech; for text, one token for three letters.
    """
    if upstream.reads == "text":
        return sum(2 + len(u.text) // 3 for u in utterances)
    seconds = sum(u.duration_s for u in utterances)
    return round(seconds * rate_hz / upstream.hop_samples)


def check_space(
    folder: Path, utterances: Sequence[Utterance], upstream: nn.Module, rate_hz: int
) -> None:
    """Say how much disk the frames will take; refuse if it is not there.

    Arguments
    ---------
    folder : Path
        Where the store is to be; its parent may not exist yet.
    utterances : Sequence[Utterance]
        Whose frames are to be stored.
    upstream : nn.Module
        Gives ``dim``, ``reads`` and ``hop_samples``.
    rate_hz : int
        Sample rate of the waveforms.

    Raises
    ------
    OSError
        If the disk has less free space than the frames need.
    """
    needed_mb = 2e-6 * upstream.dim * expected_frames(utterances, upstream, rate_hz)
    folder.mkdir(parents=True, exist_ok=True)
    free_mb = shutil.disk_usage(folder).free / 1e6
    logger.info("Frames take %.0f MB of disk in %s.", needed_mb, folder)
    if needed_mb > free_mb:
        raise OSError(
            f"The frames of {len(utterances)} utterances need {needed_mb:.0f} MB in "
            f"{folder}; {free_mb:.0f} MB are free. Make space, or give another "
            f"--results_folder."
        )


@torch.no_grad()
def encode_all(
    loader: Iterable, upstream: nn.Module, label: str, device: str, progressbar: bool
) -> Iterable[tuple[str, torch.Tensor]]:
    """Run an upstream over a loader.

    Arguments
    ---------
    loader : Iterable
        Batches with ``id`` and what the upstream reads.
    upstream : nn.Module
        The encoder, which is put in eval mode.
    label : str
        Shown by the progress bar.
    device : str
        Where the encoder runs.
    progressbar : bool
        Whether to show progress.

    Yields
    ------
    tuple[str, torch.Tensor]
        An id and its frames, (time, dim).
    """
    upstream.eval().to(device)
    for batch in tqdm(loader, desc=label, disable=not progressbar):
        if upstream.reads == "text":
            values, counts = upstream(batch.text)
        else:
            wavs, wav_lens = batch.wav
            values, counts = upstream(wavs.to(device), wav_lens.to(device))
        for utterance_id, frames, count in zip(batch.id, values, counts, strict=True):
            yield utterance_id, frames[:count]
