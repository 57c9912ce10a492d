"""A memory-mapped store for the frames of a frozen upstream, computed once.

It is one raw float16 file and an index: the fastest to read of the formats measured
(HDF5, npy, safetensors, one file per utterance), and safe with forked workers.
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

from ser_lib.corpora import Utterance
from ser_lib.upstreams import Frames
from ser_lib.utils.command import raise_if_interrupted
from ser_lib.utils.disk import check_disk_space, format_bytes
from ser_lib.utils.distributed import n_processes, process_rank
from ser_lib.utils.files import atomic_path
from ser_lib.utils.progress import with_progress

logger = get_logger(__name__)

FRAMES_FILE = "frames.f16"
INDEX_FILE = "index.json"


class FrameStore:
    """Frames of many utterances, read by id.

    Arguments
    ---------
    folder : Path
        A folder written by :func:`write_frames`.

    Raises
    ------
    FileNotFoundError
        If the folder holds no finished store.
    ValueError
        If the size of the frames file differs from the index.

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
                f"it was truncated or overwritten."
            )
        self._frames: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def ids(self) -> list[str]:
        """Ids of the stored utterances, in the order of the file."""
        return list(self._rows)

    def __call__(self, utterance_id: str) -> torch.Tensor:
        """Read the frames of an utterance: (time, dim), float32."""
        if self._frames is None:  # each worker maps the file after the fork
            path = self.folder / FRAMES_FILE
            mapped = np.memmap(path, dtype=np.float16, mode="r")
            self._frames = mapped.reshape(-1, self.dim)
        first, count = self._rows[utterance_id]
        return torch.from_numpy(self._frames[first : first + count].astype(np.float32))


def frames_of_batch(batch: PaddedBatch, names: Sequence[str]) -> dict[str, Frames]:
    """Convert the padded frames in a batch to ``Frames``, for each upstream by name."""
    frames = {}
    for name in names:
        values, lens = getattr(batch, name)
        counts = torch.round(lens.double() * values.shape[1]).long()
        frames[name] = Frames(values, counts)
    return frames


def write_frames(
    folder: Path, dim: int, frames: Iterable[tuple[str, torch.Tensor]]
) -> None:
    """Write a store; the index comes last, so an unfinished store is not a store.

    Arguments
    ---------
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
    """Write one store of the frames that several processes compute.

    Arguments
    ---------
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
        all_frames = ((i, store(i)) for store in stores for i in store.ids)
        write_frames(folder, dim, all_frames)
        for part in parts:
            shutil.rmtree(part)


def frames_bytes(
    utterances: Sequence[Utterance], upstream: nn.Module, rate_hz: int
) -> int:
    """Estimate the disk space that the frames of utterances need, in bytes.

    The estimate is accurate to a few per mille for speech. For text, it assumes one
    token per three letters.

    Arguments
    ---------
    upstream : nn.Module
        With ``dim``, ``reads`` and ``hop_samples``.
    rate_hz : int
        Sampling rate of the waveforms.
    """
    if upstream.reads == "text":
        n_frames = sum(2 + len(u.text) // 3 for u in utterances)
    else:
        seconds = sum(u.duration_s for u in utterances)
        n_frames = round(seconds * rate_hz / upstream.hop_samples)
    return 2 * upstream.dim * n_frames  # float16


def check_space(
    folder: Path, utterances: Sequence[Utterance], upstream: nn.Module, rate_hz: int
) -> None:
    """Log how much disk space the frames will take; refuse if less is free.

    Arguments are those of :func:`frames_bytes`.

    Raises
    ------
    OSError
        If the disk has less free space than the frames need.
    """
    needed_bytes = frames_bytes(utterances, upstream, rate_hz)
    logger.info("Frames take %s of disk in %s.", format_bytes(needed_bytes), folder)
    purpose = f"Storing the frames of {len(utterances)} utterances"
    advice = "choose another --results_folder"
    check_disk_space(folder, needed_bytes, purpose, advice)


@torch.no_grad()
def encode_all(
    loader: Iterable, upstream: nn.Module, label: str, device: str, progressbar: bool
) -> Iterable[tuple[str, torch.Tensor]]:
    """Run an upstream, in eval mode, over the batches of a loader.

    Arguments
    ---------
    loader : Iterable
        Batches with ``id`` and what the upstream reads (``wav`` or ``text``).
    label : str
        Text of the progress bar.

    Yields
    ------
    tuple[str, torch.Tensor]
        An id and its frames, (time, dim).
    """
    upstream.eval().to(device)
    for batch in with_progress(loader, label, "batches", show=progressbar):
        raise_if_interrupted()
        if upstream.reads == "text":
            values, counts = upstream(batch.text)
        else:
            wavs, wav_lens = batch.wav
            values, counts = upstream(wavs.to(device), wav_lens.to(device))
        for utterance_id, frames, count in zip(batch.id, values, counts, strict=True):
            yield utterance_id, frames[:count]
