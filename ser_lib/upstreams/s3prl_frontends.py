"""The filter banks that the s3prl encoders (Mockingjay, TERA, APC) were trained on.

Two kinds, both at 16 kHz with 25 ms windows every 10 ms in the published files:
a mel spectrogram of the waveform at a fixed loudness, and Kaldi's filter bank. Both
end in a normalisation over the utterance, so each utterance is computed alone: its
frames cannot depend on the padding. See s3prl (https://github.com/s3prl/s3prl,
Apache-2.0), ``upstream/baseline`` and ``upstream/apc``.
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
EPS = 1e-10  # in the logarithm, and beside each divisor


class FrontEnd(nn.Module):
    """Features of one utterance at a time, padded to a batch.

    A subclass gives ``dim``, ``hop_samples``, ``min_samples`` and
    ``features(wav) -> (time, dim)``.
    """

    dim: int
    hop_samples: int
    min_samples: int

    def features(self, wav: torch.Tensor) -> torch.Tensor:
        """Compute the features of one utterance.

        Arguments
        ---------
        wav : (samples,) torch.Tensor
            Waveform in [-1, 1), at least ``min_samples`` long.

        Returns
        -------
        (time, dim) torch.Tensor
            Its features.
        """
        raise NotImplementedError

    def forward(self, wavs: torch.Tensor, n_samples: torch.Tensor) -> Frames:
        """Compute the features of a batch, in float32.

        Arguments
        ---------
        wavs : (batch, samples) torch.Tensor
            Padded waveforms at 16 kHz.
        n_samples : (batch,) torch.LongTensor
            Samples of each.

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
                f"utterance of this batch has {int(n_samples.min())}."
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
    """Log mel spectrogram of the waveform scaled to one loudness.

    The waveform is scaled to a root mean square of 10 ** (target_level / 20). Power
    of a centred STFT (periodic Hann window, reflected ends), HTK mel bands from 0 to
    8000 Hz with triangles of height 1, log(x + 1e-10), deltas, and normalisation;
    ``n`` samples give ``1 + n // 160`` frames.

    Arguments
    ---------
    audio : Mapping
        The ``audio`` block of a checkpoint: target_level (dB), win_ms, hop_ms,
        n_freq, n_mels, and ``input`` (feat_type, log, delta, cmvn).

    Raises
    ------
    ValueError
        If ``input`` asks for another feature than ``mel``.

    Example
    -------
    >>> mel = LoudnessScaledMel({"target_level": -25, "n_mels": 80, "input": {
    ...     "feat_type": "mel", "log": True, "delta": 0, "cmvn": True}})
    >>> mel(torch.randn(2, 1600), torch.tensor([1600, 1599])).counts
    tensor([11, 10])
    """

    def __init__(self, audio: Mapping) -> None:
        super().__init__()
        wanted = audio["input"]
        if wanted["feat_type"] != "mel":
            raise ValueError(
                f"The checkpoint was trained on '{wanted['feat_type']}' features; "
                f"expected 'mel' or a kaldi filter bank."
            )
        n_freq, n_mels = audio.get("n_freq", 201), audio.get("n_mels", 40)
        self.level = 10 ** (audio["target_level"] / 20)
        self.n_fft = (n_freq - 1) * 2
        self.hop_samples = round(audio.get("hop_ms", 10) * SAMPLE_RATE_HZ / 1000)
        self.log = bool(wanted.get("log", False))
        self.delta_order = int(wanted.get("delta", 0))
        self.cmvn = bool(wanted.get("cmvn", False))
        self.dim = n_mels * (self.delta_order + 1)
        # The reflection needs more than half a window, the deviation two frames.
        self.min_samples = max(self.n_fft // 2 + 1, self.hop_samples)
        window_samples = round(audio.get("win_ms", 25) * SAMPLE_RATE_HZ / 1000)
        with torch.device("cpu"):  # torchaudio looks at the values: not on "meta"
            window = torch.hann_window(window_samples)
            bands = melscale_fbanks(
                n_freq, 0.0, SAMPLE_RATE_HZ / 2, n_mels, SAMPLE_RATE_HZ
            )
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("bands", bands, persistent=False)

    def features(self, wav: torch.Tensor) -> torch.Tensor:
        """Compute the features of one utterance, see :class:`FrontEnd`."""
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
    frames. The waveform is taken as it is, in [-1, 1).

    Arguments
    ---------
    fbank : Mapping
        Arguments of ``torchaudio.compliance.kaldi.fbank``.
    delta_order : int
        Deltas of this order and of the lower ones are appended.
    delta_window : int
        Frames that a delta sees.
    cmvn : bool
        Whether to normalise each utterance.

    Raises
    ------
    ValueError
        If ``fbank`` holds an argument that the function does not know.

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
        known = inspect.signature(kaldi.fbank).parameters
        unknown = sorted(set(fbank) - set(known))
        if unknown:
            raise ValueError(f"Kaldi's filter bank takes no {', '.join(unknown)}.")
        self.arguments = {"sample_frequency": float(SAMPLE_RATE_HZ), **fbank}
        given = {name: known[name].default for name in known} | self.arguments
        self.delta_order, self.delta_window = delta_order, delta_window
        self.cmvn = cmvn
        self.dim = (given["num_mel_bins"] + given["use_energy"]) * (delta_order + 1)
        self.hop_samples = int(SAMPLE_RATE_HZ * given["frame_shift"] / 1000)
        self.min_samples = int(SAMPLE_RATE_HZ * given["frame_length"] / 1000)
        if cmvn:  # one frame has no deviation
            self.min_samples += self.hop_samples

    def features(self, wav: torch.Tensor) -> torch.Tensor:
        """Compute the features of one utterance, see :class:`FrontEnd`."""
        features = kaldi.fbank(wav[None], **self.arguments)
        features = add_deltas(features, self.delta_order, self.delta_window)
        return normalise(features) if self.cmvn else features


def add_deltas(features: torch.Tensor, order: int, window: int = 5) -> torch.Tensor:
    """Append the deltas of each order, the ends repeated.

    Arguments
    ---------
    features : (time, dim) torch.Tensor
        Features of one utterance.
    order : int
        Highest order; with 0, nothing is appended.
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
    """Bring each dimension to zero mean and unit (unbiased) deviation over time.

    A dimension that is the same at all times, as in digital silence, becomes zero. Its
    mean is known to seven digits only: divided by a deviation of nothing, the rest
    would come out as numbers like 10,000.

    Arguments
    ---------
    features : (time, dim) torch.Tensor
        Features of one utterance, two frames or more.

    Returns
    -------
    (time, dim) torch.Tensor
        The same, normalised.

    Example
    -------
    >>> normalise(torch.tensor([[1.0], [3.0]])).flatten()  # the deviation is sqrt(2)
    tensor([-0.7071,  0.7071])
    """
    centred = features - features.mean(0)
    is_constant = features.amax(0) == features.amin(0)
    return centred.masked_fill(is_constant, 0.0) / (features.std(0) + EPS)
