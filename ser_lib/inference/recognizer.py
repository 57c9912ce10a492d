"""Recognise emotions in audio files, arrays or batches with an exported model:

    recognizer = EmotionRecognizer.from_hparams(source="pretrained/ser_whisper_tiny")
    out_prob, score, index, label = recognizer.classify_file("speech.wav")

``python -m ser_lib.export`` writes model folders.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from ser_lib.audio import find_audio, mono_wav, read_audio, usable_wav
from ser_lib.inference.adaptation import (
    Adaptation,
    adapted,
    check_adaptable,
    measure,
    read_adaptation,
    save_adaptation,
    warn_if_far,
)
from ser_lib.inference.answers import Answer
from ser_lib.inference.batches import BatchRecognizer
from ser_lib.inference.interface import Classified
from ser_lib.inference.parallel import classify_many
from ser_lib.inference.timeline import (
    CHANNEL_NAMES,
    Timeline,
    channel_timelines,
    timeline_file,
)
from ser_lib.inference.turns import Turn, turn_timelines
from ser_lib.inference.windows import Window, stream
from ser_lib.model import EmotionModel


class EmotionRecognizer(BatchRecognizer):
    """Recognises emotions in files, arrays and streams, see :class:`BatchRecognizer`.

    ``adaptation`` is what it was adapted to, or None.
    """

    adaptation: Adaptation | None = None
    _unadapted: Mapping[str, EmotionModel] | None = None

    @property
    def unadapted(self) -> Mapping[str, EmotionModel]:
        """The members of the model, standardising by its training part."""
        return self._unadapted or dict(self.mods.items())

    def member(self, name: str) -> "EmotionRecognizer":
        """Return one member of an ensemble, such as ``fold_3``; it shares its weights.

        Raises
        ------
        KeyError
            If there is no such member.
        """
        members = {name: self.model_info["members"][name]}
        info = {**self.model_info, "members": members}
        pretrainer = SimpleNamespace(model_info=info)
        options = {"pretrainer": pretrainer}, {"device": self.device}
        return EmotionRecognizer({name: self.unadapted[name]}, *options)

    # ---- files and arrays

    def load_audio(self, path: str | Path) -> torch.Tensor:
        """Read a file as input for the model.

        Arguments
        ---------
        path : str | Path
            A file that libsndfile reads (WAV, FLAC, MP3, OGG ...), with any sampling
            rate from 1 kHz to 1 MHz and any number of channels.

        Returns
        -------
        (samples,) torch.Tensor
            One channel at ``sample_rate_hz``; silence at its ends is trimmed if it was
            trimmed in training.

        Raises
        ------
        FileNotFoundError, PermissionError
            If the file cannot be opened.
        ValueError
            If it cannot be decoded, or is silent, too short or otherwise unusable.
        """
        return self._usable(read_audio(path, self.sample_rate_hz), str(path))

    def _usable(self, wav: torch.Tensor, name: str) -> torch.Tensor:
        limits = self.min_duration_s, self.model_info["trim_silence_db"]
        return usable_wav(wav, self.sample_rate_hz, name, *limits)

    def classify_file(self, path: str | Path) -> Classified:
        """Classify a whole file as a batch of one; see :meth:`load_audio`."""
        return self.classify_batch(self.load_audio(path), names=[str(path)])

    def analyse_file(self, path: str | Path) -> dict[str, Answer]:
        """Return what the model says of a whole file, for each of its tasks.

        Returns
        -------
        dict[str, Answer]
            Task -> ``ClassAnswer`` or ``ValueAnswer``; ``emotion`` comes first.
        """
        return self.analyse_batch(self.load_audio(path), names=[str(path)])[0]

    def classify_array(
        self, samples: np.ndarray | torch.Tensor, sample_rate_hz: int
    ) -> Classified:
        """Classify an array as a batch of one.

        Arguments
        ---------
        samples : (samples,) or (samples, channels) np.ndarray | torch.Tensor
            Floats with full scale 1, or integers.
        sample_rate_hz : int
            Its sampling rate.
        """
        wav = self._array(samples, sample_rate_hz, "The array")
        return self.classify_batch(wav, names=["The array"])

    def _array(
        self, samples: np.ndarray | torch.Tensor, sample_rate_hz: int, name: str
    ) -> torch.Tensor:
        wav = mono_wav(samples, sample_rate_hz, self.sample_rate_hz, name)
        return self._usable(wav, name)

    def classify_files(
        self,
        paths: Sequence[str | Path] | str | Path,
        batch_size: int = 16,
        max_batch_s: float = 160,
        progressbar: bool = True,
    ) -> list[Classified]:
        """Classify many files, in batches of similar length and on all cores.

        Arguments
        ---------
        paths : Sequence[str | Path] | str | Path
            Files, or a folder for all audio files in it.
        batch_size : int
            Maximum number of files in a batch.
        max_batch_s : float
            Maximum of padded seconds processed at a time; a longer file is processed
            alone.
        progressbar : bool
            Whether to show progress.

        Returns
        -------
        list[Classified]
            The result of :meth:`classify_file` for each file, in order.

        Raises
        ------
        FileNotFoundError, ValueError
            See :meth:`load_audio`; missing and damaged files are found before any
            other is classified.
        """
        paths = find_audio(paths) if isinstance(paths, str | Path) else list(paths)
        if not paths:
            return []
        return classify_many(self, paths, batch_size, max_batch_s, progressbar)

    # ---- adaptation

    def adapt(
        self,
        recordings: Sequence[str | Path | np.ndarray | torch.Tensor],
        sample_rate_hz: int | None = None,
    ) -> "EmotionRecognizer":
        """Adapt the model to recordings without labels, which may be those to classify.

        They are of one speaker, one microphone or one line. The more there are, the
        more they count against the training part of the model (README, "Adaptation").

        Arguments
        ---------
        recordings : Sequence[str | Path | np.ndarray | torch.Tensor]
            Files, or arrays as for :meth:`classify_array`.
        sample_rate_hz : int | None
            Sampling rate of the arrays; None is that of the model.

        Returns
        -------
        EmotionRecognizer
            An adapted recognizer, which shares the weights; this one is not changed.

        Raises
        ------
        FileNotFoundError, ValueError
            If there are no recordings, one cannot be used (see :meth:`load_audio`), or
            the model was not trained to be adapted.
        """
        check_adaptable(self)
        if isinstance(recordings, str | Path | np.ndarray | torch.Tensor):
            recordings = [recordings]
        rate_hz = sample_rate_hz or self.sample_rate_hz
        wavs = [
            self.load_audio(recording)
            if isinstance(recording, str | Path)
            else self._array(recording, rate_hz, f"Array {i}")
            for i, recording in enumerate(recordings)
        ]
        return self._adapted(measure(self, self.unadapted, wavs))

    def save_adaptation(self, path: str | Path) -> None:
        """Write what the model was adapted to, for :meth:`load_adaptation`."""
        if self.adaptation is None:
            raise ValueError("This model is not adapted. Call adapt first.")
        save_adaptation(path, self.adaptation, self.model_info)

    def load_adaptation(self, path: str | Path) -> "EmotionRecognizer":
        """Adapt the model by a file of :meth:`save_adaptation`; see :meth:`adapt`."""
        check_adaptable(self)
        return self._adapted(read_adaptation(path, self.unadapted, self.model_info))

    def _adapted(self, adaptation: Adaptation) -> "EmotionRecognizer":
        members = {
            name: adapted(member, adaptation.moments[name], self.sample_rate_hz)
            for name, member in self.unadapted.items()
        }
        warn_if_far(self.unadapted, members)
        options = {"pretrainer": self.hparams.pretrainer}, {"device": self.device}
        recognizer = EmotionRecognizer(members, *options)
        recognizer.adaptation = adaptation
        recognizer._unadapted = self.unadapted
        return recognizer

    # ---- long recordings

    def timeline_file(
        self,
        path: str | Path,
        window_s: float = 4.0,
        hop_s: float = 1.0,
        **options: Any,
    ) -> Timeline:
        """Recognise emotions over time in a recording, see ``timeline_file``."""
        return timeline_file(self, path, window_s, hop_s, **options)

    def channel_timelines(
        self, path: str | Path, names: Sequence[str] = CHANNEL_NAMES, **options: Any
    ) -> list[Timeline]:
        """Do so in each channel of a recording, see ``channel_timelines``."""
        return channel_timelines(self, path, names, **options)

    def turn_timelines(
        self, path: str | Path, turns: Sequence[Turn], **options: Any
    ) -> list[Timeline]:
        """Recognise the emotion of each turn of a conversation, see ``turns.py``."""
        return turn_timelines(self, path, turns, **options)

    def stream(
        self,
        blocks: Iterable[np.ndarray | torch.Tensor],
        sample_rate_hz: int,
        window_s: float = 4.0,
        hop_s: float = 1.0,
        skip_silence_dbfs: float | None = None,
    ) -> Iterator[Window]:
        """Recognise emotions in a stream of blocks, see ``windows.stream``."""
        lengths_s = window_s, hop_s
        return stream(self, blocks, sample_rate_hz, *lengths_s, skip_silence_dbfs)
