"""The filter banks that the s3prl encoders (Mockingjay, TERA, APC) were trained with.

There are two kinds, both at 16 kHz with 25 ms windows every 10 ms in the published
files: a mel spectrogram of the waveform at a fixed loudness, and Kaldi's filter bank.
Both end with a normalisation over the utterance, so each utterance is computed alone
and its frames cannot depend on the padding. See s3prl
(https://github.com/s3prl/s3prl, Apache-2.0), ``upstream/baseline`` and
``upstream/apc``.
"""

import inspect
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torchaudio.compliance import kaldi
from torchaudio.functional import compute_deltas, melscale_fbanks

from ser_lib.upstreams.frames import Frames

SAMPLE_RATE_HZ = 16000
EPS = 1e-10  # added in logarithms and to divisors


class FrontEnd(nn.Module):
    """Features of one utterance at a time, padded to a batch.

    A subclass sets ``dim``, ``hop_samples`` and ``min_samples`` and implements
    ``features(wav) -> (time, dim)``.
    """

    dim: int
    hop_samples: int
    min_samples: int

    def features(self, wav: torch.Tensor) -> torch.Tensor:
        """Compute the (time, dim) features of one utterance.

        Arguments
        ---------
        wav : (samples,) torch.Tensor
            Waveform in [-1, 1), at least ``min_samples`` long.
        """
        raise NotImplementedError

    def forward(self, wavs: torch.Tensor, n_samples: torch.Tensor) -> Frames:
        """Compute the features of a batch, in float32.

        Arguments
        ---------
        wavs : (batch, samples) torch.Tensor
            Padded waveforms at 16 kHz.
        n_samples : (batch,) torch.LongTensor
            Samples in each.

        Returns
        -------
        Frames
            ``(batch, time, dim)``, zero in the padding.

        Raises
        ------
        ValueError
            If an utterance is shorter than ``min_samples``.
        """
        if n_samples.min() < self.min_samples:
            raise ValueError(
                f"The features need at least {self.min_samples} samples; the shortest "
                f"utterance in this batch has {int(n_samples.min())}."
            )
        with torch.autocast(wavs.device.type, enabled=False):
            utterances = [
                self.features(wav[:n].float())
                for wav, n in zip(wavs, n_samples.tolist(), strict=True)
            ]
        counts = [len(features) for features in utterances]
        values = pad_sequence(utterances, batch_first=True)
        return Frames(values, torch.tensor(counts, device=wavs.device))


class LoudnessScaledMel(FrontEnd):
    """Log mel spectrogram of the waveform scaled to a fixed loudness.

    The waveform is scaled to a root mean square of 10 ** (target_level / 20). Then
    follow the power of a centred STFT (periodic Hann window, reflected ends), HTK mel
    bands from 0 to 8000 Hz with triangles of height 1, log(x + 1e-10), deltas, and
    normalisation; ``n`` samples give ``1 + n // 160`` frames.

    Arguments
    ---------
    audio : Mapping
        The ``audio`` block of a checkpoint: target_level (dB), win_ms, hop_ms,
        n_freq, n_mels, and ``input`` (feat_type, log, delta, cmvn).

    Raises
    ------
    ValueError
        If ``input`` asks for a feature other than ``mel``.

    Example
    -------
    >>> mel = LoudnessScaledMel({"target_level": -25, "n_mels": 80, "input": {
    ...     "feat_type": "mel", "log": True, "delta": 0, "cmvn": True}})
    >>> mel(torch.randn(2, 1600), torch.tensor([1600, 1599])).counts
    tensor([11, 10])
    """

    def __init__(self, audio: Mapping) -> None:
        super().__init__()
        settings = audio["input"]
        if settings["feat_type"] != "mel":
            raise ValueError(
                f"The checkpoint was trained on '{settings['feat_type']}' features; "
                f"expected 'mel' or a kaldi filter bank."
            )
        n_freq, n_mels = audio.get("n_freq", 201), audio.get("n_mels", 40)
        self.level = 10 ** (audio["target_level"] / 20)
        self.n_fft = (n_freq - 1) * 2
        self.hop_samples = round(audio.get("hop_ms", 10) * SAMPLE_RATE_HZ / 1000)
        self.log = bool(settings.get("log", False))
        self.delta_order = int(settings.get("delta", 0))
        self.cmvn = bool(settings.get("cmvn", False))
        self.dim = n_mels * (self.delta_order + 1)
        # Reflection needs more than half a window, and a deviation two frames.
        self.min_samples = max(self.n_fft // 2 + 1, self.hop_samples)
        window_samples = round(audio.get("win_ms", 25) * SAMPLE_RATE_HZ / 1000)
        with torch.device("cpu"):  # torchaudio reads the values, so not on "meta"
            window = torch.hann_window(window_samples)
            bands = melscale_fbanks(
                n_freq, 0.0, SAMPLE_RATE_HZ / 2, n_mels, SAMPLE_RATE_HZ
            )
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("bands", bands, persistent=False)

    def features(self, wav: torch.Tensor) -> torch.Tensor:
        """Compute the features of one utterance; see :class:`FrontEnd`."""
        rms = wav.square().mean().sqrt()
        spectrum = torch.stft(
            wav * (self.level / (rms + EPS)),
            n_fft=self.n_fft,
            hop_length=self.hop_samples,
            win_length=len(self.window),
            window=self.window,
            return_complex=True,
        )
        power = torch.view_as_real(spectrum).square().sum(-1)
        features = power.T @ self.bands
        if self.log:
            features = (features + EPS).log()
        features = add_deltas(features, self.delta_order)
        return normalise(features) if self.cmvn else features


class KaldiFbank(FrontEnd):
    """Kaldi's filter bank, deltas and normalisation.

    Kaldi's windows have no padding: ``n`` samples give ``1 + (n - 400) // 160``
    frames. The waveform, in [-1, 1), is not scaled.

    Arguments
    ---------
    fbank : Mapping
        Arguments of ``torchaudio.compliance.kaldi.fbank``.
    delta_order : int
        Deltas up to this order are appended.
    delta_window : int
        Frames that a delta sees.
    cmvn : bool
        Whether to normalise each utterance.

    Raises
    ------
    ValueError
        If ``fbank`` has an argument that the function does not accept.

    Example
    -------
    >>> fbank = KaldiFbank({"num_mel_bins": 80}, delta_order=2)
    >>> frames = fbank(torch.randn(2, 1600), torch.tensor([1600, 1000]))
    >>> frames.values.shape, frames.counts
    (torch.Size([2, 8, 240]), tensor([8, 4]))
    """

    def __init__(
        self,
        fbank: Mapping,
        delta_order: int = 0,
        delta_window: int = 5,
        cmvn: bool = True,
    ) -> None:
        super().__init__()
        parameters = inspect.signature(kaldi.fbank).parameters
        unknown = sorted(set(fbank) - set(parameters))
        if unknown:
            raise ValueError(f"Kaldi's filter bank takes no {', '.join(unknown)}.")
        self.arguments = {"sample_frequency": float(SAMPLE_RATE_HZ), **fbank}
        options = {name: p.default for name, p in parameters.items()} | self.arguments
        self.delta_order, self.delta_window = delta_order, delta_window
        self.cmvn = cmvn
        self.dim = (options["num_mel_bins"] + options["use_energy"]) * (delta_order + 1)
        self.hop_samples = int(SAMPLE_RATE_HZ * options["frame_shift"] / 1000)
        self.min_samples = int(SAMPLE_RATE_HZ * options["frame_length"] / 1000)
        if cmvn:  # one frame has no deviation
            self.min_samples += self.hop_samples

    def features(self, wav: torch.Tensor) -> torch.Tensor:
        """Compute the features of one utterance; see :class:`FrontEnd`."""
        features = kaldi.fbank(wav[None], **self.arguments)
        features = add_deltas(features, self.delta_order, self.delta_window)
        return normalise(features) if self.cmvn else features


def add_deltas(features: torch.Tensor, order: int, window: int = 5) -> torch.Tensor:
    """Append the deltas of each order, repeating the ends.

    Arguments
    ---------
    features : (time, dim) torch.Tensor
        Features of one utterance.
    order : int
        Highest order; 0 appends nothing.
    window : int
        Frames that a delta sees.

    Returns
    -------
    (time, dim * (order + 1)) torch.Tensor
        Features, deltas, deltas of the deltas ...
    """
    blocks = [features.T]
    for _ in range(order):
        blocks.append(compute_deltas(blocks[-1], win_length=window))
    return torch.cat(blocks).T


def normalise(features: torch.Tensor) -> torch.Tensor:
    """Normalise each dimension to zero mean and unit (unbiased) deviation over time.

    A constant dimension, as in digital silence, becomes zero. Its mean is exact to only
    seven digits; dividing the remainder by a deviation near zero would give values like
    10,000.

    Arguments
    ---------
    features : (time, dim) torch.Tensor
        Features of one utterance, at least two frames.

    Example
    -------
    >>> normalise(torch.tensor([[1.0], [3.0]])).flatten()  # the deviation is sqrt(2)
    tensor([-0.7071,  0.7071])
    """
    centred = features - features.mean(0)
    is_constant = features.amax(0) == features.amin(0)
    return centred.masked_fill(is_constant, 0.0) / (features.std(0) + EPS)
