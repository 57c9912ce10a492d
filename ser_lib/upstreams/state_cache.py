"""Hidden states of frozen encoders, cached in memory.

A frozen encoder computes the same hidden states for an utterance in every batch, so
they need computing only once. The frame store of ``ser_lib/dataio`` keeps them on disk
for encoders that are fine-tuned first and return one layer. A learnable sum needs all
layers, which are cached here as long as they fit in memory. So is the output of frozen
convolutions below a trained transformer.
"""

import hashlib
from collections.abc import Callable

import torch

States = tuple[list[torch.Tensor], torch.Tensor]


class StateCache:
    """Hidden states, keyed by the samples they were computed from.

    Arguments
    ---------
    limit_gb : float
        Memory limit per process, in gigabytes (1e9 bytes). States beyond it are
        computed each time.

    Example
    -------
    >>> def encode(wavs, n_samples):  # one frame per sample
    ...     print("encoding", len(wavs))
    ...     return [wavs[..., None]], n_samples
    >>> cache = StateCache(limit_gb=1)
    >>> wavs = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 0.0]])
    >>> _ = cache.states(encode, wavs[:1], torch.tensor([3]))
    encoding 1
    >>> states, counts = cache.states(encode, wavs, torch.tensor([3, 2]))
    encoding 1
    >>> states[0][..., 0], counts
    (tensor([[1., 2., 3.],
            [4., 5., 0.]]), tensor([3, 2]))
    """

    def __init__(self, limit_gb: float) -> None:
        self._free_bytes = limit_gb * 1e9
        self._kept: dict[bytes, torch.Tensor] = {}

    @torch.no_grad()
    def states(
        self,
        encode: Callable[[torch.Tensor, torch.Tensor], States],
        wavs: torch.Tensor,
        n_samples: torch.Tensor,
    ) -> States:
        """Return the hidden states of a batch, encoding those that are not cached.

        Arguments
        ---------
        encode : Callable
            Called with waveforms and their numbers of samples, one utterance at a time.
            Returns all hidden states, each (batch, time, dim), and the (batch,) frame
            counts.
        wavs : (batch, samples) torch.Tensor
            Padded waveforms.
        n_samples : (batch,) torch.LongTensor
            Samples in each.

        Returns
        -------
        list[(batch, time, dim) torch.Tensor]
            The states, zero in the padding.
        (batch,) torch.LongTensor
            Frames in each utterance.
        """
        rows = zip(wavs.cpu(), n_samples.tolist(), strict=True)
        keys = [_key(wav[:n]) for wav, n in rows]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        for i, key in enumerate(keys):
            if key not in found:
                # One at a time: a batch changes the last digits, and a resumed run
                # first sees an utterance in another batch but must end the same.
                one = slice(i, i + 1)
                states, _ = encode(wavs[one, : n_samples[i]], n_samples[one])
                found[key] = torch.stack(states, dim=2)[0].cpu()  # (time, layers, dim)
                self._keep(key, found[key])
        utterances = [found[key].to(wavs.device) for key in keys]
        padded = torch.nn.utils.rnn.pad_sequence(utterances, batch_first=True)
        counts = torch.tensor([len(u) for u in utterances], device=wavs.device)
        return list(padded.unbind(dim=2)), counts

    def _keep(self, key: bytes, values: torch.Tensor) -> None:
        n_bytes = values.numel() * values.element_size()
        if n_bytes <= self._free_bytes:
            self._kept[key] = values
            self._free_bytes -= n_bytes


def _key(wav: torch.Tensor) -> bytes:
    return hashlib.blake2b(wav.contiguous().numpy().tobytes(), digest_size=16).digest()
