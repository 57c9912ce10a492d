"""Upstreams: from waveforms to frames.

Every upstream is a module called as ``upstream(wavs, wav_lens) -> Frames`` with the
attributes ``dim`` (size of a frame), ``hop_samples`` (samples between frames),
``min_samples`` (shortest input) and ``frozen`` (nothing in it is trained, and its
frames can be computed once and stored). Its output for an utterance does not depend
on the other utterances of the batch.
"""

from ser_lib.upstreams.fbank import FbankUpstream
from ser_lib.upstreams.frames import Frames, sample_counts, time_mask
from ser_lib.upstreams.huggingface import HuggingFaceUpstream

__all__ = [
    "FbankUpstream",
    "Frames",
    "HuggingFaceUpstream",
    "sample_counts",
    "time_mask",
]
