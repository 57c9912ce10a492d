"""Upstreams: from waveforms, or transcripts, to frames.

Every upstream is a module called as ``upstream(wavs, wav_lens) -> Frames`` with the
attributes ``reads`` (``"wav"``), ``dim`` (size of a frame), ``hop_samples`` (samples
between frames), ``min_samples`` (shortest input) and ``frozen`` (nothing in it is
trained, and its frames can be computed once and stored). An upstream whose ``reads``
is ``"text"`` is called with a list of transcripts, and its ``hop_samples`` is None.
The output for an utterance does not depend on the other utterances of the batch.

An upstream with weights has ``without_weights()``, too, if a model with it can be
exported: plain values that the class takes in place of its ``source``.
"""

from ser_lib.upstreams.apc import ApcUpstream
from ser_lib.upstreams.cpc import CpcUpstream
from ser_lib.upstreams.delores import DeloresUpstream
from ser_lib.upstreams.fbank import FbankUpstream
from ser_lib.upstreams.frames import Frames, sample_counts, time_mask
from ser_lib.upstreams.huggingface import HuggingFaceUpstream
from ser_lib.upstreams.layers import LayerSum
from ser_lib.upstreams.mockingjay import MockingjayUpstream
from ser_lib.upstreams.sequence_classification import SequenceClassificationUpstream
from ser_lib.upstreams.text import TextUpstream
from ser_lib.upstreams.wav2vec import Wav2VecUpstream

__all__ = [
    "ApcUpstream",
    "CpcUpstream",
    "DeloresUpstream",
    "FbankUpstream",
    "Frames",
    "HuggingFaceUpstream",
    "LayerSum",
    "MockingjayUpstream",
    "SequenceClassificationUpstream",
    "TextUpstream",
    "Wav2VecUpstream",
    "sample_counts",
    "time_mask",
]
