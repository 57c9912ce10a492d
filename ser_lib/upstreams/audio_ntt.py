"""The AudioNTT-2020 network and its front end, as trained by DeLoRes and BYOL-A.

Koizumi et al., 2020, https://arxiv.org/abs/2007.00225; Niizumi et al., 2021 (BYOL-A),
https://arxiv.org/abs/2103.06695.
"""

import torch
from torch import nn
from transformers.audio_utils import mel_filter_bank

from ser_lib.upstreams.frames import Frames, time_mask

N_MELS = 64
N_FFT = 1024
MEL_HOP_SAMPLES = 160
N_CHANNELS = 64
N_BLOCKS = 3
POOLING = 2**N_BLOCKS


class LogMel(nn.Module):
    """The front end: 64 log mel bands every 10 ms.

    Power spectrum (1024 points, Hann window, centred, mirrored at each utterance's
    own ends), Slaney's mel bands from 60 to 7800 Hz, each of unit area, then
    ``log(x + 1.19e-7)``.

    Example
    -------
    >>> frames = LogMel()(torch.randn(2, 1600), torch.tensor([1600, 800]))
    >>> frames.values.shape, frames.counts
    (torch.Size([2, 11, 64]), tensor([11,  6]))
    """

    def __init__(self) -> None:
        super().__init__()
        filters = mel_filter_bank(
            num_frequency_bins=N_FFT // 2 + 1,
            num_mel_filters=N_MELS,
            min_frequency=60.0,
            max_frequency=7800.0,
            sampling_rate=16000,
            norm="slaney",
            mel_scale="slaney",
        )
        filters = torch.from_numpy(filters).float()
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)

    def forward(self, wavs: torch.Tensor, n_samples: torch.Tensor) -> Frames:
        """Compute the log mel bands of each utterance.

        Arguments
        ---------
        wavs : (batch, samples) torch.Tensor
            Padded waveforms at 16 kHz.
        n_samples : (batch,) torch.LongTensor
            Samples in each, more than 512.

        Returns
        -------
        Frames
            ``(batch, time, 64)``; ``n`` samples give ``n // 160 + 1`` frames.
        """
        with torch.autocast(wavs.device.type, enabled=False):
            spectrum = torch.stft(
                _mirror_ends(wavs.float(), n_samples, N_FFT // 2),
                N_FFT,
                MEL_HOP_SAMPLES,
                window=self.window,
                center=False,
                return_complex=True,
            )
            mels = spectrum.abs().square().transpose(1, 2) @ self.filters
            values = torch.log(mels + torch.finfo(torch.float32).eps)
        return Frames(values, n_samples // MEL_HOP_SAMPLES + 1)


def _mirror_ends(
    wavs: torch.Tensor, n_samples: torch.Tensor, width: int
) -> torch.Tensor:
    """Reflect each utterance at its own first and last sample."""
    positions = torch.arange(-width, wavs.shape[1] + width, device=wavs.device)
    last = n_samples[:, None] - 1
    mirrored = last - (last - positions.abs()).abs()
    return wavs.gather(1, mirrored.clamp(min=0))  # below 0: far past the end


class AudioNtt2020(nn.Module):
    """The network: three blocks of convolution and pooling, then two linear layers.

    The frames of an utterance do not depend on the padding: it is zeroed before each
    convolution, and the batch norms see only the utterances' own steps. Each pooling
    drops an odd last step, as it does when an utterance is processed alone.

    Arguments
    ---------
    dim : int
        Size of a frame: 2048, 512 or 256 in the papers.

    Example
    -------
    >>> network = AudioNtt2020(dim=4).eval()
    >>> states, counts = network(torch.randn(2, 16000), torch.tensor([16000, 8000]))
    >>> [state.shape for state in states], counts
    ([torch.Size([2, 12, 4]), torch.Size([2, 12, 4])], tensor([12,  6]))
    >>> network.embed(states[-1], counts).shape
    torch.Size([2, 4])
    """

    hop_samples = MEL_HOP_SAMPLES * POOLING
    min_samples = MEL_HOP_SAMPLES * (POOLING - 1)  # the first window is centred on 0

    def __init__(self, dim: int = 2048, dropout: float = 0.3) -> None:
        super().__init__()
        self.dims = [dim, dim]
        self.log_mel = LogMel()
        # Both sequences are numbered as in the published checkpoints.
        self.features = nn.Sequential()
        for i in range(N_BLOCKS):
            n_in = N_CHANNELS if i else 1
            self.features.append(nn.Conv2d(n_in, N_CHANNELS, 3, padding=1))
            self.features.append(nn.BatchNorm2d(N_CHANNELS))
            self.features.append(nn.ReLU())
            self.features.append(nn.MaxPool2d(2))
        self.fc = nn.Sequential(
            nn.Linear(N_CHANNELS * N_MELS // POOLING, dim),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(dim, dim),
            nn.ReLU(),
        )

    def forward(
        self, wavs: torch.Tensor, n_samples: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return the outputs of both linear layers and the frame counts."""
        return self.encode(*self.log_mel(wavs, n_samples))

    @property
    def layer_stack(self) -> list[nn.Module]:
        """The linear layers, above the convolutions."""
        return [self.fc[0], self.fc[3]]

    def encode(
        self, log_mels: torch.Tensor, counts: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Encode log mel bands, which pre-training may have augmented.

        Arguments
        ---------
        log_mels : (batch, time, 64) torch.Tensor
            Output of :class:`LogMel`, or a view of it.
        counts : (batch,) torch.LongTensor
            Frames in each utterance.

        Returns
        -------
        list[(batch, time // 8, dim) torch.Tensor]
            The outputs of both linear layers, each after its ReLU.
        (batch,) torch.LongTensor
            Frames in each utterance, an eighth of ``counts``.
        """
        x = log_mels.transpose(1, 2)[:, None]  # (batch, channel, mel, time)
        for i in range(0, len(self.features), 4):
            convolution, norm, relu, pool = self.features[i : i + 4]
            inside = time_mask(counts, x.shape[-1])
            x = convolution(x * inside[:, None, None])
            x = pool(relu(_norm_inside(norm, x, inside)))
            counts = counts // 2
        x = x.permute(0, 3, 2, 1).flatten(2)  # channel varies fastest
        first = self.fc[:2](x)
        return [first, self.fc[2:](first)], counts

    def embed(self, values: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Return a (batch, dim) embedding: maximum plus mean over time.

        Pre-training compares these embeddings between two views.

        Arguments
        ---------
        values : (batch, time, dim) torch.Tensor
            The last hidden state.
        counts : (batch,) torch.LongTensor
            Frames in each utterance.
        """
        outside = ~time_mask(counts, values.shape[1])[..., None]
        mean = values.masked_fill(outside, 0).sum(1) / counts[:, None]
        return values.masked_fill(outside, -torch.inf).amax(1) + mean


def _norm_inside(
    norm: nn.Module, x: torch.Tensor, inside: torch.Tensor
) -> torch.Tensor:
    """Apply batch norm to the utterances' own steps; set the padding to zero."""
    by_step = x.permute(0, 3, 1, 2)  # (batch, time, channel, mel)
    normed = norm(by_step[inside][..., None])[..., 0]
    result = normed.new_zeros(by_step.shape)
    result[inside] = normed
    return result.permute(0, 2, 3, 1)
