"""Upstreams: from waveforms, or transcripts, to frames.

Every upstream is a module called as ``upstream(wavs, wav_lens) -> Frames`` with the
attributes ``reads`` (``"wav"``), ``dim`` (size of a frame), ``hop_samples`` (samples
between frames), ``min_samples`` (shortest input) and ``frozen`` (nothing in it is
trained, and its frames can be computed once and stored). An upstream whose ``reads``
is ``"text"`` is called with a list of transcripts, and its ``hop_samples`` is None.
The output for an utterance does not depend on the other utterances of the batch.
"""

from ser_lib.upstreams.fbank import FbankUpstream
from ser_lib.upstreams.frames import Frames, sample_counts, time_mask
from ser_lib.upstreams.huggingface import HuggingFaceUpstream
from ser_lib.upstreams.text import TextUpstream

__all__ = [
    "FbankUpstream",
    "Frames",
    "HuggingFaceUpstream",
    "TextUpstream",
    "sample_counts",
    "time_mask",
]
