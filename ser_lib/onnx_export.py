"""A model for onnxruntime, for use where PyTorch is not.

The graph takes ``wavs`` (batch, samples), float32, one channel, at the model's
sampling rate, and gives ``probabilities`` (batch, labels). Both axes are free, but
nothing may be padded: the utterances of a batch have one length. That does without
masks, which would make the graph's shapes depend on the data. The metadata of the file
hold ``labels``, ``sample_rate_hz``, ``trim_silence_db`` and ``min_duration_s`` as JSON.

Each upstream and aggregator is rewritten for unpadded input; the file is compared with
the original before it is handed out.
"""

import json
from importlib.util import find_spec
from pathlib import Path

import torch
from speechbrain.lobes.models.ECAPA_TDNN import AttentiveStatisticsPooling
from torch import nn

from ser_lib.aggregators import EcapaTdnn, MeanPooling
from ser_lib.inference import EmotionRecognizer
from ser_lib.model import EmotionModel
from ser_lib.upstreams import FbankUpstream, HuggingFaceUpstream

NEEDED = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-3
_COPIED_FACTS = ("labels", "sample_rate_hz", "trim_silence_db")
_ONE_FILE_BYTES = 1_500_000_000  # protobuf holds 2 GB


def check_installed() -> None:
    """Say what to install where something is missing.

    Raises
    ------
    ModuleNotFoundError
        If one of the packages is missing.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"ONNX export needs {', '.join(missing)}: pip install {' '.join(NEEDED)}"
        )


def write_onnx(recognizer: EmotionRecognizer, path: str | Path) -> Path:
    """Write a model for onnxruntime, run it there, and compare.

    Arguments
    ---------
    recognizer : EmotionRecognizer
        A loaded model on the CPU; an ensemble becomes one graph.
    path : str | Path
        The file; weights above 1.5 GB go to a second file beside it.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ModuleNotFoundError
        If onnx, onnxscript or onnxruntime is not installed.
    TypeError
        If an upstream or aggregator has no form for unpadded input.
    RuntimeError
        If onnxruntime gives other probabilities than PyTorch.
    """
    check_installed()
    graph = UnpaddedRecognizer(list(recognizer.mods.values())).eval()
    least_samples = max(
        graph.min_samples, round(recognizer.min_duration_s * recognizer.sample_rate_hz)
    )
    axes = {
        0: torch.export.Dim("batch"),
        1: torch.export.Dim("samples", min=least_samples),
    }
    program = torch.onnx.export(
        graph,
        (_noise(2, 2 * least_samples),),
        input_names=["wavs"],
        output_names=["probabilities"],
        dynamic_shapes={"wavs": axes},
        dynamo=True,
        verbose=False,
    )
    facts = {key: recognizer.facts[key] for key in _COPIED_FACTS}
    facts["min_duration_s"] = least_samples / recognizer.sample_rate_hz
    for key, value in facts.items():
        program.model.metadata_props[key] = json.dumps(value)
    n_bytes = sum(value.nbytes for value in graph.state_dict().values())
    program.save(str(path), external_data=n_bytes > _ONE_FILE_BYTES)
    for shape in ((1, least_samples), (3, 3 * least_samples + 7)):
        _compare(recognizer, Path(path), _noise(*shape))
    return Path(path)


def _noise(n_utterances: int, n_samples: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(n_utterances, n_samples, generator=generator)


def _compare(recognizer: EmotionRecognizer, path: Path, wavs: torch.Tensor) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"wavs": wavs.numpy()})
    expected = recognizer.classify_batch(wavs)[0]
    difference = (torch.from_numpy(found) - expected).abs().max().item()
    if not difference <= TOLERANCE:
        raise RuntimeError(
            f"{path} differs from the model it was made from: by {difference:.2g} in a "
            f"probability, expected at most {TOLERANCE}. Please report this, with the "
            f"versions of torch and {', '.join(NEEDED)}."
        )


class UnpaddedRecognizer(nn.Module):
    """One or several models, for utterances of one length.

    Arguments
    ---------
    members : list[EmotionModel]
        Their probabilities are averaged.
    """

    def __init__(self, members: list[EmotionModel]) -> None:
        super().__init__()
        self.members = nn.ModuleList(_UnpaddedModel(member) for member in members)
        self.min_samples = max(member.min_samples for member in self.members)

    def forward(self, wavs: torch.Tensor) -> torch.Tensor:
        """Classify.

        Arguments
        ---------
        wavs : (batch, samples) torch.Tensor
            Waveforms.

        Returns
        -------
        (batch, n_labels) torch.Tensor
            Probabilities.
        """
        logits = torch.stack([member(wavs) for member in self.members])
        return logits.softmax(-1).mean(0)


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
        self.streams = [branch.upstreams[0] for branch in branches]
        self.aggregators = nn.ModuleList(unpadded(b.aggregator) for b in branches)
        self.classifier = model.downstream.classifier
        streams = [model.upstreams[name] for name in self.streams]
        self.min_samples = max(
            stream.min_samples + (branch.aggregator.min_frames - 1) * stream.hop_samples
            for stream, branch in zip(streams, branches, strict=True)
        )

    def forward(self, wavs: torch.Tensor) -> torch.Tensor:
        frames = {name: upstream(wavs) for name, upstream in self.upstreams.items()}
        pairs = zip(self.streams, self.aggregators, strict=True)
        embeddings = [aggregator(frames[name]) for name, aggregator in pairs]
        return self.classifier(torch.cat(embeddings, dim=-1))


class _UnpaddedFbank(nn.Module):
    """The filter bank with its Fourier transform as a convolution.

    ONNX has a Fourier transform, but that of onnxruntime is some 0.007 dB off.
    """

    def __init__(self, upstream: FbankUpstream) -> None:
        super().__init__()
        stft, self.bank = upstream.fbank.compute_STFT, upstream.fbank.compute_fbanks
        n_fft, self.hop_samples = stft.n_fft, stft.hop_length
        assert stft.win_length == n_fft, "the window was to fill the transform"
        times, bins = torch.arange(n_fft), torch.arange(n_fft // 2 + 1)[:, None]
        angles = 2 * torch.pi * (bins * times % n_fft).double() / n_fft
        kernels = torch.cat([angles.cos(), -angles.sin()]) * stft.window
        self.register_buffer("kernels", kernels.float()[:, None])

    def forward(self, wavs: torch.Tensor) -> torch.Tensor:
        n_fft = self.kernels.shape[-1]
        parts = nn.functional.conv1d(
            wavs[:, None], self.kernels, stride=self.hop_samples, padding=n_fft // 2
        )
        real, imaginary = parts.transpose(1, 2).chunk(2, dim=-1)
        return self.bank(real.square() + imaginary.square())


class _UnpaddedEncoder(nn.Module):
    def __init__(self, upstream: HuggingFaceUpstream) -> None:
        super().__init__()
        self.model, self.normalize_wav = upstream.model, upstream.normalize_wav
        self.layer_sum = upstream.layer_sum

    def forward(self, wavs: torch.Tensor) -> torch.Tensor:
        if self.normalize_wav:
            wavs = wavs - wavs.mean(1, keepdim=True)
            wavs = wavs / torch.sqrt(wavs.square().mean(1, keepdim=True) + 1e-7)
        if self.layer_sum is None:
            return self.model(wavs).last_hidden_state
        states = self.model(wavs, output_hidden_states=True).hidden_states
        return self.layer_sum(torch.stack(states))


class _UnpaddedMean(nn.Module):
    def __init__(self, aggregator: MeanPooling) -> None:
        super().__init__()

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return frames.mean(1)


class _UnpaddedEcapa(nn.Module):
    """The forward pass of SpeechBrain's ECAPA-TDNN without its masks."""

    def __init__(self, aggregator: EcapaTdnn) -> None:
        super().__init__()
        self.input_norm, self.ecapa = aggregator.input_norm, aggregator.ecapa
        self.batch_norm = aggregator.batch_norm

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        x = frames.transpose(1, 2)  # (batch, channels, time)
        if self.input_norm == "batch":
            x = self.batch_norm(x)
        elif self.input_norm == "sentence":
            x = x - x.mean(2, keepdim=True)
        outputs = []
        for block in self.ecapa.blocks:
            x = block(x)
            outputs.append(x)
        x = self.ecapa.mfa(torch.cat(outputs[1:], dim=1))
        x = self.ecapa.asp_bn(_pool(self.ecapa.asp, x))
        return self.ecapa.fc(x).squeeze(-1)


def _pool(asp: AttentiveStatisticsPooling, x: torch.Tensor) -> torch.Tensor:
    """Pool attentively over time: mean and standard deviation, (batch, 2 * c, 1)."""
    mean = x.mean(2, keepdim=True)
    std = (x - mean).square().mean(2, keepdim=True).clamp(asp.eps).sqrt()
    context = torch.cat([x, mean.expand_as(x), std.expand_as(x)], dim=1)
    attention = asp.conv(asp.tanh(asp.tdnn(context))).softmax(2)
    mean = (attention * x).sum(2, keepdim=True)
    variance = (attention * (x - mean).square()).sum(2, keepdim=True)
    return torch.cat([mean, variance.clamp(asp.eps).sqrt()], dim=1)


_FORMS = {
    FbankUpstream: _UnpaddedFbank,
    HuggingFaceUpstream: _UnpaddedEncoder,
    MeanPooling: _UnpaddedMean,
    EcapaTdnn: _UnpaddedEcapa,
}


def unpadded(module: nn.Module) -> nn.Module:
    """Rewrite an upstream or aggregator for input without padding.

    Arguments
    ---------
    module : nn.Module
        An upstream or an aggregator; weights are shared with it.

    Returns
    -------
    nn.Module
        From (batch, samples) to (batch, time, dim), or from there to (batch, size).

    Raises
    ------
    TypeError
        If there is no such form of it.
    """
    form = _FORMS.get(type(module))
    if form is None:
        raise TypeError(
            f"{type(module).__name__} has no form for unpadded input, so it cannot be "
            f"exported to ONNX. Those that have are {[k.__name__ for k in _FORMS]}."
        )
    return form(module)
