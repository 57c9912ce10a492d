"""Read the audio of utterances, optionally from memory after the first epoch."""

from functools import lru_cache
from pathlib import Path

import torch

from ser_lib.audio import read_audio, trim_silence
from ser_lib.corpora import Utterance
from ser_lib.dataio.degraded_copies import DegradedCopy, degrade


class AudioReader:
    """Reads the utterances of a corpus as mono waveforms at one rate.

    Arguments
    ---------
    data_folder : str
        The paths of the manifest are relative to it.
    sample_rate_hz : int
        Rate that the upstream expects; files at other rates are resampled.
    trim_silence_db : float | None
        See ``audio.trim_silence``; None trims nothing.
    keep_in_memory : bool
        Keep audio in memory for later epochs (about 4 MB per minute, in each worker).
        Worthwhile for small corpora whose files are slow to decode.
    """

    def __init__(
        self,
        data_folder: str,
        sample_rate_hz: int,
        trim_silence_db: float | None = None,
        keep_in_memory: bool = False,
    ) -> None:
        self.data_folder = Path(data_folder)
        self.sample_rate_hz = sample_rate_hz
        self.trim_silence_db = trim_silence_db
        self._kept = lru_cache(None)(self._read) if keep_in_memory else None

    def __call__(self, utterance: Utterance) -> torch.Tensor:
        """Read one utterance: (samples,), float32."""
        if self._kept is not None:
            return self._kept(utterance).clone()  # the caller may modify it
        return self._read(utterance)

    def _read(self, utterance: Utterance) -> torch.Tensor:
        wav = read_audio(self.data_folder / utterance.path, self.sample_rate_hz)
        if isinstance(utterance, DegradedCopy):
            wav = degrade(wav, self.sample_rate_hz, utterance)
        if self.trim_silence_db is not None:
            wav = trim_silence(wav, self.sample_rate_hz, self.trim_silence_db)
        return wav
