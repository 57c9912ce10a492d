"""Random crops; all other augmentation is SpeechBrain's (see hparams)."""

import torch

from ser_lib.upstreams.frames import sample_counts


def random_crop(
    wavs: torch.Tensor, wav_lens: torch.Tensor, crop_samples: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a random stretch out of each utterance.

    Arguments
    ---------
    wavs : (batch, samples) torch.Tensor
        Padded waveforms.
    wav_lens : (batch,) torch.Tensor
        Relative lengths.
    crop_samples : int
        Samples of a crop; a shorter utterance is kept whole.

    Returns
    -------
    (batch, at most crop_samples) torch.Tensor
        The crops, padded with zeros.
    (batch,) torch.Tensor
        Their relative lengths.

    Example
    -------
    >>> wavs, lens = random_crop(torch.ones(2, 9), torch.tensor([1.0, 1 / 3]), 6)
    >>> wavs.sum(1), lens
    (tensor([6., 3.]), tensor([1.0000, 0.5000]))
    """
    n_samples = sample_counts(wavs, wav_lens)
    kept = n_samples.clamp(max=crop_samples)
    start = torch.rand(len(wavs), device=wavs.device) * (n_samples - kept + 1)
    width = int(kept.max())
    offset = torch.arange(width, device=wavs.device)[None]  # (1, width)
    source = (start.long()[:, None] + offset).clamp(max=wavs.shape[1] - 1)
    inside = offset < kept[:, None]
    return wavs.gather(1, source) * inside, kept / width
