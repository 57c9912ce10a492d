"""Classify batches of waveforms: SpeechBrain's interface to a loaded model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from speechbrain.inference.interfaces import Pretrained
from speechbrain.utils.fetching import FetchConfig

from ser_lib.audio import check_batch, scaled
from ser_lib.inference.answers import Answer, answers_by_task, emotion_of
from ser_lib.inference.interface import Classified
from ser_lib.model_folder import StrictPretrainer, further_tasks
from ser_lib.model_outputs import answers, check_outputs
from ser_lib.settings import Task


class BatchRecognizer(Pretrained):
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
        self.tasks: list[Task] = further_tasks(self.model_info["network"])
        self.sample_rate_hz: int = self.model_info["sample_rate_hz"]
        members = self.model_info["members"].values()
        temperatures = [member.get("temperature", 1.0) for member in members]
        self.temperatures = torch.tensor(temperatures, device=self.device)
        upstreams = [u for m in self.mods.values() for u in m.upstreams.values()]
        least_samples = max(upstream.min_samples for upstream in upstreams)
        self.min_duration_s: float = max(
            self.model_info["min_duration_s"], least_samples / self.sample_rate_hz
        )

    def train(self, mode: bool = True) -> "BatchRecognizer":
        """Stay in eval mode, so that batch norms do not learn from inputs."""
        return super().train(False)

    @classmethod
    def from_hparams(
        cls,
        source: str | Path,
        fetch_config: FetchConfig | None = None,
        run_opts: Mapping | None = None,
        freeze_params: bool = True,
    ) -> "BatchRecognizer":
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
        answered = self.answer_batch(wavs, wav_lens, names)
        out_prob = answered[:, : len(self.labels)]
        score, index = out_prob.max(dim=-1)
        return out_prob, score, index, [self.labels[i] for i in index.tolist()]

    def answer_batch(
        self,
        wavs: torch.Tensor,
        wav_lens: torch.Tensor | None = None,
        names: Sequence[str] | None = None,
    ) -> torch.Tensor:
        """Return the answers of all tasks; see :meth:`classify_batch`.

        Returns
        -------
        (batch, n_outputs) torch.Tensor
            The probabilities of the labels, then for each of ``tasks`` those of its
            classes, or its value.
        """
        wavs, wav_lens, names = self._batch(wavs, wav_lens, names)
        with torch.no_grad(), self.inference_ctx:
            members = [member(wavs, wav_lens) for member in self.mods.values()]
        outputs = torch.stack(members).float()
        check_outputs(outputs, names, "logits")
        sizes = [len(self.labels), *(task.size for task in self.tasks)]
        logits, *others = outputs.split(sizes, dim=-1)
        answered = [(logits / self.temperatures[:, None, None]).softmax(-1)]
        pairs = zip(self.tasks, others, strict=True)
        answered += [answers(task, own) for task, own in pairs]
        return torch.cat([own.mean(0) for own in answered], dim=-1)

    def analyse_batch(
        self,
        wavs: torch.Tensor,
        wav_lens: torch.Tensor | None = None,
        names: Sequence[str] | None = None,
    ) -> list[dict[str, Answer]]:
        """Return the answers of all tasks by name; see :meth:`classify_batch`.

        Returns
        -------
        list[dict[str, Answer]]
            For each utterance, task -> ``ClassAnswer`` or ``ValueAnswer``; ``emotion``
            comes first.
        """
        tasks = [emotion_of(self.labels), *self.tasks]
        rows = self.answer_batch(wavs, wav_lens, names).tolist()
        return [answers_by_task(tasks, row) for row in rows]

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
                member.downstream.embed(member.frames(wavs, wav_lens))
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
