"""A whole model for unpadded input, as it becomes an ONNX graph."""

from collections.abc import Sequence

import torch
from torch import nn

from ser_lib.export.onnx_modules import unpadded
from ser_lib.model import EmotionModel
from ser_lib.model_outputs import answers
from ser_lib.settings import Task


class UnpaddedRecognizer(nn.Module):
    """Average the probabilities of one or more models, for unpadded utterances."""

    def __init__(
        self,
        members: list[EmotionModel],
        temperatures: torch.Tensor,
        tasks: Sequence[Task] = (),
    ) -> None:
        super().__init__()
        self.register_buffer("temperatures", temperatures.cpu()[:, None, None])
        self.tasks, self.n_labels = list(tasks), len(members[0].labels)
        self.members = nn.ModuleList(_UnpaddedModel(member) for member in members)
        self.min_samples = max(member.min_samples for member in self.members)

    def forward(self, wavs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(batch, samples) waveforms -> (batch, labels) probabilities, other answers.

        There is one tensor for each further task: (batch, classes) probabilities or
        (batch, 1) values.
        """
        outputs = torch.stack([member(wavs) for member in self.members])
        sizes = [self.n_labels, *(task.size for task in self.tasks)]
        logits, *others = outputs.split(sizes, dim=-1)
        found = [(logits / self.temperatures).softmax(-1)]
        pairs = zip(self.tasks, others, strict=True)
        found += [answers(task, own) for task, own in pairs]
        return tuple(own.mean(0) for own in found)


class _UnpaddedModel(nn.Module):
    def __init__(self, model: EmotionModel) -> None:
        super().__init__()
        self.upstreams = nn.ModuleDict(
            {name: unpadded(upstream) for name, upstream in model.upstreams.items()}
        )
        branches = model.downstream.branches
        fused = [branch.upstreams for branch in branches if len(branch.upstreams) > 1]
        if fused:
            raise TypeError(
                f"Early fusion ({' with '.join(fused[0])}) has no form for unpadded "
                f"input, so it cannot be exported to ONNX."
            )
        self.standardisers = model.standardisers
        self.streams = [branch.upstreams[0] for branch in branches]
        self.aggregators = nn.ModuleList(unpadded(b.aggregator) for b in branches)
        downstream = model.downstream
        self.heads = nn.ModuleList([downstream.classifier, *downstream.heads.values()])
        streams = [model.upstreams[name] for name in self.streams]
        self.min_samples = max(
            stream.min_samples + (branch.aggregator.min_frames - 1) * stream.hop_samples
            for stream, branch in zip(streams, branches, strict=True)
        )

    def forward(self, wavs: torch.Tensor) -> torch.Tensor:
        frames = {name: upstream(wavs) for name, upstream in self.upstreams.items()}
        for name, standardiser in self.standardisers.items():
            frames[name] = (frames[name] - standardiser.mean) / standardiser.sd
        pairs = zip(self.streams, self.aggregators, strict=True)
        embeddings = [aggregator(frames[name]) for name, aggregator in pairs]
        embedding = torch.cat(embeddings, dim=-1)
        return torch.cat([head(embedding) for head in self.heads], dim=-1)
