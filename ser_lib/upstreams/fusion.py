"""Early fusion: frames of several upstreams, aligned in time and concatenated.

Frame i of an upstream with a hop of h samples covers the samples from i * h to
(i + 1) * h. The slowest upstream sets the step. The frames of a faster one that fall
into one step are averaged: two frames of a 10 ms filter bank per 20 ms of HuBERT.
The convolutions of the encoders look up to 25 ms ahead, so the streams agree to within
half a step, and their ends to within two steps. All streams are cut to the shortest.
"""

import math
from collections.abc import Mapping

import torch

from ser_lib.upstreams.frames import Frames

MAX_STEPS_APART = 3


def frame_ratios(hops_samples: Mapping[str, float | None]) -> dict[str, int]:
    """Return how many frames of each upstream make up one step of the slowest.

    Arguments
    ---------
    hops_samples : Mapping[str, float | None]
        Samples between frames by the name of the upstream; None for tokens.

    Raises
    ------
    ValueError
        If tokens are to be fused early, or a hop does not divide the largest.

    Example
    -------
    >>> frame_ratios({"hubert": 320, "fbank": 160})
    {'hubert': 1, 'fbank': 2}
    """
    if len(hops_samples) == 1:
        return dict.fromkeys(hops_samples, 1)
    tokens = [name for name, hop in hops_samples.items() if hop is None]
    if tokens:
        raise ValueError(
            f"{tokens[0]} returns tokens, which have no times, so its frames cannot be "
            f"aligned with those of {[n for n in hops_samples if n not in tokens]}. "
            f"Put it in a separate branch (late fusion)."
        )
    slowest = max(hops_samples, key=hops_samples.get)
    step = hops_samples[slowest]
    for name, hop in hops_samples.items():
        if not math.isclose(step / hop, round(step / hop)):
            raise ValueError(
                f"Early fusion needs hops that divide the largest: {slowest} has "
                f"{step:g} samples between frames, {name} has {hop:g}. Choose another "
                f"hop, or put {name} in a separate branch (late fusion)."
            )
    return {name: round(step / hop) for name, hop in hops_samples.items()}


def align_frames(streams: Mapping[str, Frames], ratios: Mapping[str, int]) -> Frames:
    """Align the frames of several upstreams in time and concatenate them.

    Arguments
    ---------
    streams : Mapping[str, Frames]
        Frames of each upstream, for the same utterances.
    ratios : Mapping[str, int]
        From :func:`frame_ratios`.

    Returns
    -------
    Frames
        ``(batch, steps, sum of the sizes)``, in the order of ``streams``.

    Raises
    ------
    ValueError
        If an utterance is shorter than a step, or the streams end further apart than
        their windows explain.

    Example
    -------
    >>> slow = Frames(torch.tensor([[[5.0], [6.0]]]), torch.tensor([2]))
    >>> values = torch.tensor([[[1.0], [3.0], [0.0], [4.0], [9.0]]])
    >>> fast = Frames(values, torch.tensor([5]))
    >>> align_frames({"a": slow, "b": fast}, {"a": 1, "b": 2}).values.tolist()
    [[[5.0, 2.0], [6.0, 2.0]]]
    """
    slowed = {name: _average(streams[name], ratio) for name, ratio in ratios.items()}
    counts = torch.stack([stream.counts for stream in slowed.values()])
    shortest, longest = counts.amin(0), counts.amax(0)
    if (shortest < 1).any() or (longest - shortest > MAX_STEPS_APART).any():
        steps = {name: stream.counts.tolist() for name, stream in slowed.items()}
        raise ValueError(
            f"Early fusion needs frames of the same utterances at the same times; "
            f"found, in steps of the slowest upstream, {steps}."
        )
    n_steps = int(shortest.max())
    values = torch.cat([s.values[:, :n_steps] for s in slowed.values()], dim=-1)
    return Frames(values, shortest)


def _average(frames: Frames, ratio: int) -> Frames:
    """Average every ``ratio`` frames; frames left over at the end are dropped."""
    if ratio == 1:
        return frames
    values, counts = frames
    n_steps = values.shape[1] // ratio
    groups = values[:, : n_steps * ratio].unflatten(1, (n_steps, ratio))
    return Frames(groups.mean(2), counts // ratio)
