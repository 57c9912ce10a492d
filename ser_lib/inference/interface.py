"""The interface of a model, so that other modules need not import its class."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch

from ser_lib.settings import Task

# SpeechBrain's four outputs: probabilities (batch, n_labels), the highest of them
# (batch,), its index (batch,), and the labels.
Classified = tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[str]]


class Recognizer(Protocol):
    """A model that classifies speech: ``EmotionRecognizer``, or a stub of it in tests.

    Attributes
    ----------
    labels : Sequence[str]
        In the order of the probabilities.
    tasks : Sequence[Task]
        What it answers besides the emotion.
    sample_rate_hz : int
        Sampling rate of the input.
    min_duration_s : float
        Shortest utterance that it classifies.
    device : str
        A torch device.
    model_info : Mapping
        The content of ``model.json``.
    """

    labels: Sequence[str]
    tasks: Sequence[Task]
    sample_rate_hz: int
    min_duration_s: float
    device: str
    model_info: Mapping

    def load_audio(self, path: str) -> torch.Tensor:
        """Read a file as a waveform of shape (samples,)."""
        ...

    def classify_batch(
        self,
        wavs: torch.Tensor,
        wav_lens: torch.Tensor | None = None,
        names: Sequence[str] | None = None,
    ) -> Classified:
        """Classify a padded batch of shape (batch, samples)."""
        ...

    def answer_batch(
        self,
        wavs: torch.Tensor,
        wav_lens: torch.Tensor | None = None,
        names: Sequence[str] | None = None,
    ) -> torch.Tensor:
        """Return the (batch, n_outputs) answers of all tasks, the emotion first."""
        ...

    def member(self, name: str) -> "Recognizer":
        """Return one member of an ensemble."""
        ...

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Iterate over the weights."""
        ...
