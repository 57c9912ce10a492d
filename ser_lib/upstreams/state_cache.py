"""What is frozen of an encoder gives the same in every epoch: it is kept in memory.

A frozen encoder gives an utterance the same hidden states in every batch, so they need
computing once. The frame store of ``ser_lib/dataio`` does that for encoders that are
fine-tuned first and give one layer; a learnable sum needs all layers, which are kept
here as long as they fit. So is the output of frozen convolutions below a transformer
that is trained.
"""

import hashlib
from collections.abc import Callable

import torch

States = tuple[list[torch.Tensor], torch.Tensor]


class StateCache:
    """Hidden states by the samples they were made of.

    Arguments
    ---------
    limit_gb : float
        Memory to take, in gigabytes (1e9 bytes), of each process. What comes later is
        computed each time.

    Example
    -------
    >>> def encode(wavs, n_samples):  # one frame a sample
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
        """Give the hidden states of a batch; encode what is not there.

        Arguments
        ---------
        encode : Callable
            Gives all hidden states, each (batch, time, dim), and the (batch,) frame
            counts of waveforms and their numbers of samples. It is called with one
            utterance at a time.
        wavs : (batch, samples) torch.Tensor
            Padded waveforms.
        n_samples : (batch,) torch.LongTensor
            Samples of each.

        Returns
        -------
        list[(batch, time, dim) torch.Tensor]
            The states, zero in the padding.
        (batch,) torch.LongTensor
            Frames of each utterance.
        """
        rows = zip(wavs.cpu(), n_samples.tolist(), strict=True)
        keys = [_key(wav[:n]) for wav, n in rows]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        for i, key in enumerate(keys):
            if key not in found:
                # Alone, since a batch changes the last digits: a run that resumes
                # meets an utterance in another batch first, and must end the same.
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
