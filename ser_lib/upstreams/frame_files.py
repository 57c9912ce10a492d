"""Frames made elsewhere (faces, prosody) as an upstream: one file per utterance.

The file of an utterance is ``<folder>/<id>.npy`` or ``<folder>/<id>.safetensors``. If
its id contains a path, as in tables without a column ``id``, the file is in subfolders
of the same names: ``anna/001.wav.npy`` for ``anna/001.wav``.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from ser_lib.upstreams.frames import Frames

FRAME_SUFFIXES = (".npy", ".safetensors")
# Windows reach beyond the first and last frame, and videos end with a whole picture.
TOLERANCE_S = 0.1


def frames_file(folder: str | Path, utterance_id: str, suffix: str = ".npy") -> Path:
    """Return where the frames of an utterance are.

    Raises
    ------
    ValueError
        If the id leads out of the folder.

    Example
    -------
    >>> frames_file("frames", "03-01-01").as_posix()
    'frames/03-01-01.npy'
    >>> frames_file("frames", "/data/anna/001.wav", ".safetensors").as_posix()
    'frames/data/anna/001.wav.safetensors'
    """
    if ".." in utterance_id.split("/"):
        raise ValueError(
            f"Frames are found by id, but the id {utterance_id} leads out of {folder}. "
            f"Give the table a column id."
        )
    return Path(folder) / f"{utterance_id.lstrip('/')}{suffix}"


class FrameFiles(nn.Module):
    """Frames that another program has computed, as an upstream.

    It is called with the ids of utterances.

    Arguments
    ---------
    folder : str | Path
        Holds a file for each utterance: an array of NumPy, or a safetensors file with
        one tensor, of (frames, size) floating-point numbers.
    size : int
        Numbers in a frame.
    hop_s : float
        Seconds between the starts of two frames; the first one starts with the
        recording.
    sample_rate_hz : int
        Sampling rate of the speech that the frames may be fused with.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If the size or the hop is not above 0.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> np.save(folder / "a01.npy", np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> upstream = FrameFiles(folder, size=2, hop_s=0.04)
    >>> upstream(["a01"]).values
    tensor([[[1., 2.],
             [3., 4.]]])
    >>> upstream.hop_samples
    640
    """

    reads = "id"
    frozen = True
    may_lack = False  # whether an utterance without a file has one frame of zeros

    def __init__(
        self,
        folder: str | Path,
        size: int,
        hop_s: float,
        sample_rate_hz: int = 16000,
    ) -> None:
        super().__init__()
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(
                f"There is no folder {folder}. It must hold the frames of each "
                f"utterance, in <id>.npy or <id>.safetensors."
            )
        if not (isinstance(size, int) and size > 0 and hop_s > 0):
            raise ValueError(
                f"Frames in {folder} have the size {size} and the hop {hop_s} s; "
                f"expected numbers above 0."
            )
        self.dim = size
        self.hop_s = hop_s
        hop_samples = hop_s * sample_rate_hz
        is_whole = math.isclose(hop_samples, round(hop_samples))
        self.hop_samples = round(hop_samples) if is_whole else hop_samples
        self._paths: dict[str, Path | None] = {}
        # It has no weights that would tell where frames are to go.
        self.register_buffer("_on_device", torch.empty(0), persistent=False)

    def path(self, utterance_id: str) -> Path | None:
        """Return the file of an utterance; None if there is none.

        Raises
        ------
        ValueError
            If there are two, or the id leads out of the folder.
        """
        if utterance_id not in self._paths:
            both = [frames_file(self.folder, utterance_id, s) for s in FRAME_SUFFIXES]
            found = [path for path in both if path.is_file()]
            if len(found) > 1:
                raise ValueError(
                    f"{utterance_id} has two files of frames, {found[0]} and "
                    f"{found[1].name}. Remove one."
                )
            self._paths[utterance_id] = found[0] if found else None
        return self._paths[utterance_id]

    def present(self, ids: Sequence[str]) -> torch.Tensor:
        """Return the (batch,) mask of the utterances that have a file."""
        return torch.tensor([self.path(i) is not None for i in ids])

    def read(self, utterance_id: str) -> torch.Tensor:
        """Read the (frames, size) frames of an utterance, float32.

        Raises
        ------
        FileNotFoundError
            If the utterance has no file.
        ValueError
            If the file is damaged, or holds something else than finite floating-point
            numbers of this shape.
        """
        path = self.path(utterance_id)
        if path is None:
            raise FileNotFoundError(
                f"{utterance_id} has no frames: there is no "
                f"{frames_file(self.folder, utterance_id)}."
            )
        values = _read_npy(path) if path.suffix == ".npy" else _read_safetensors(path)
        shape = tuple(values.shape)
        if len(shape) != 2 or shape[1] != self.dim or not shape[0]:
            raise ValueError(
                f"{path} has the shape {shape}; expected (frames, {self.dim})."
            )
        wrong = ~values.isfinite()
        if wrong.any():
            raise ValueError(
                f"{path} has {int(wrong.sum())} numbers that are not finite in "
                f"float32; the first is in frame {int(wrong.any(1).int().argmax())}."
            )
        return values

    def forward(self, ids: Sequence[str]) -> Frames:
        """Read the frames of each utterance, to (batch, frames, size).

        An utterance without a file is an error, or, with ``may_lack``, has one frame
        of zeros.
        """
        rows = [
            torch.zeros(1, self.dim)
            if self.may_lack and self.path(i) is None
            else self.read(i)
            for i in ids
        ]
        counts = torch.tensor([len(row) for row in rows])
        values = pad_sequence(rows, batch_first=True)
        device = self._on_device.device
        return Frames(values.to(device), counts.to(device))


def _read_npy(path: Path) -> torch.Tensor:
    try:
        # Mapping compares the size of the file with its header.
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"{path} is not an array that can be read ({error}). Write it with "
            f"numpy.save, as floating-point numbers."
        ) from error
    if not isinstance(values, np.ndarray):
        raise ValueError(f"{path} is an archive (.npz); expected one array.")
    if values.dtype.kind != "f":
        raise ValueError(_wrong_kind(path, values.dtype))
    with np.errstate(over="ignore"):  # infinite numbers are reported
        return torch.from_numpy(np.array(values, dtype=np.float32))


def _read_safetensors(path: Path) -> torch.Tensor:
    try:
        with safe_open(path, framework="pt") as f:
            names = list(f.keys())
            if len(names) != 1:
                raise ValueError(f"{path} has the tensors {names}; expected one.")
            values = f.get_tensor(names[0])
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error}).") from error
    if not values.is_floating_point():
        raise ValueError(_wrong_kind(path, values.dtype))
    return values.float()


def _wrong_kind(path: Path, found: object) -> str:
    return f"{path} has numbers of the type {found}; expected floating-point numbers."
