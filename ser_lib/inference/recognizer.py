"""Recognise emotions in audio files, arrays or batches with an exported model:

    recognizer = EmotionRecognizer.from_hparams(source="pretrained/ravdess_fbank_ecapa")
    out_prob, score, index, label = recognizer.classify_file("speech.wav")

``python -m ser_lib.export`` writes model folders.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from speechbrain.inference.interfaces import Pretrained
from speechbrain.utils.fetching import FetchConfig

from ser_lib.audio import (
    check_batch,
    find_audio,
    mono_wav,
    read_audio,
    scaled,
    usable_wav,
)
from ser_lib.inference.interface import Classified
from ser_lib.inference.parallel import classify_many
from ser_lib.inference.timeline import Timeline, timeline_file
from ser_lib.inference.windows import Window, stream
from ser_lib.model_folder import StrictPretrainer
from ser_lib.model_outputs import check_outputs


class EmotionRecognizer(Pretrained):
    """Recognises emotions in speech with an exported model.

    The result for an utterance does not depend on the rest of its batch. An ensemble
    averages the probabilities of its members.

    Arguments
    ---------
    modules : Mapping[str, torch.nn.Module]
        An ``EmotionModel`` for each member.
    hparams : Mapping
        ``pretrainer`` is a ``StrictPretrainer`` that has loaded the weights.
    run_opts : Mapping | None
        SpeechBrain's run options, such as ``{"device": "cuda"}``.
    freeze_params : bool
        Whether gradients are off; the model is always in eval mode.
    """

    HPARAMS_NEEDED = ["pretrainer"]

    def __init__(
        self,
        modules: Mapping[str, torch.nn.Module],
        hparams: Mapping,
        run_opts: Mapping | None = None,
        freeze_params: bool = True,
    ) -> None:
        super().__init__(modules, hparams, run_opts, freeze_params)
        self.mods.eval()
        self.model_info: dict = hparams["pretrainer"].model_info
        self.labels: list[str] = list(self.model_info["labels"])
        self.sample_rate_hz: int = self.model_info["sample_rate_hz"]
        members = self.model_info["members"].values()
        temperatures = [member.get("temperature", 1.0) for member in members]
        self.temperatures = torch.tensor(temperatures, device=self.device)
        upstreams = [u for m in self.mods.values() for u in m.upstreams.values()]
        least_samples = max(upstream.min_samples for upstream in upstreams)
        self.min_duration_s: float = max(
            self.model_info["min_duration_s"], least_samples / self.sample_rate_hz
        )

    def train(self, mode: bool = True) -> "EmotionRecognizer":
        """Stay in eval mode, so that batch norms do not learn from inputs."""
        return super().train(False)

    @classmethod
    def from_hparams(
        cls,
        source: str | Path,
        fetch_config: FetchConfig | None = None,
        run_opts: Mapping | None = None,
        freeze_params: bool = True,
    ) -> "EmotionRecognizer":
        """Load a model folder without executing anything in it.

        Arguments
        ---------
        source : str | Path
            A folder, or a hub id; a model in the hub's cache needs no network.
        fetch_config : FetchConfig | None
            SpeechBrain's download settings, such as the revision.
        run_opts, freeze_params
            See the class.

        Raises
        ------
        FileNotFoundError, ValueError
            If a file is missing, damaged, of another model, or describes anything but
            a network of ``ser_lib``.
        """
        pretrainer = StrictPretrainer()
        pretrainer.collect_files(source, fetch_config=fetch_config)
        pretrainer.load_collected()
        hparams = {"pretrainer": pretrainer}
        return cls(pretrainer.members, hparams, run_opts, freeze_params)

    # ---- batches

    def classify_batch(
        self,
        wavs: torch.Tensor,
        wav_lens: torch.Tensor | None = None,
        names: Sequence[str] | None = None,
    ) -> Classified:
        """Classify a padded batch; silence is allowed.

        Arguments
        ---------
        wavs : (batch, samples) or (samples,) torch.Tensor
            Waveforms at ``sample_rate_hz``: floats with full scale 1, or integers.
        wav_lens : (batch,) torch.Tensor | None
            Relative lengths; None if nothing is padded.
        names : Sequence[str] | None
            Names of the utterances for error messages; None numbers them.

        Returns
        -------
        out_prob : (batch, n_labels) torch.Tensor
            Probabilities in the order of ``labels``, calibrated if the model is.
        score : (batch,) torch.Tensor
            The highest probability.
        index : (batch,) torch.Tensor
            Its index.
        labels : list[str]
            Its label.

        Raises
        ------
        ValueError
            If an utterance is shorter than ``min_duration_s``, its samples are not
            valid audio, its logits are not finite, or a shape is wrong.
        """
        wavs, wav_lens, names = self._batch(wavs, wav_lens, names)
        with torch.no_grad(), self.inference_ctx:
            members = [member(wavs, wav_lens) for member in self.mods.values()]
        logits = torch.stack(members).float()
        check_outputs(logits, names, "logits")
        out_prob = (logits / self.temperatures[:, None, None]).softmax(-1).mean(0)
        score, index = out_prob.max(dim=-1)
        return out_prob, score, index, [self.labels[i] for i in index.tolist()]

    def encode_batch(
        self, wavs: torch.Tensor, wav_lens: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the input of the classifier; see :meth:`classify_batch`.

        Returns
        -------
        (batch, embedding_size) torch.Tensor
            The embeddings; those of several members are concatenated.
        """
        wavs, wav_lens, names = self._batch(wavs, wav_lens)
        with torch.no_grad(), self.inference_ctx:
            members = [
                member.downstream.embed(member.upstreams(wavs, wav_lens))
                for member in self.mods.values()
            ]
        embeddings = torch.cat(members, dim=-1).float()
        check_outputs(embeddings, names, "embeddings")
        return embeddings

    forward = classify_batch

    def _batch(
        self,
        wavs: torch.Tensor,
        wav_lens: torch.Tensor | None,
        names: Sequence[str] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, Sequence[str]]:
        self.eval()  # a user may have put a module into training mode
        wavs = scaled(torch.atleast_2d(wavs), "The batch")
        wav_lens = torch.ones(len(wavs)) if wav_lens is None else wav_lens
        names = names or [f"Utterance {i} of the batch" for i in range(len(wavs))]
        limits = self.sample_rate_hz, self.min_duration_s
        check_batch(wavs, wav_lens, *limits, names)
        return wavs.to(self.device).float(), wav_lens.to(self.device), names

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
        wav = mono_wav(samples, sample_rate_hz, self.sample_rate_hz)
        return self.classify_batch(self._usable(wav, "The array"), names=["The array"])

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

    # ---- long recordings

    def timeline_file(
        self,
        path: str | Path,
        window_s: float = 4.0,
        hop_s: float = 1.0,
        skip_silence_dbfs: float | None = None,
        min_segment_s: float = 0.0,
        unknown_below: float | None = None,
    ) -> Timeline:
        """Recognise emotions over time in a recording, see ``timeline_file``."""
        options = window_s, hop_s, skip_silence_dbfs, min_segment_s, unknown_below
        return timeline_file(self, path, *options)

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
