"""Upstreams: from waveforms, or transcripts, to frames.

Every upstream is a module called as ``upstream(wavs, wav_lens) -> Frames`` with the
attributes ``reads`` (``"wav"``), ``dim`` (size of a frame), ``hop_samples`` (samples
between frames), ``min_samples`` (shortest input) and ``frozen`` (nothing in it is
trained, and its frames can be computed once and stored). An upstream whose ``reads``
is ``"text"`` is called with a list of transcripts, and its ``hop_samples`` is None.
The output for an utterance does not depend on the other utterances of the batch.

An upstream with weights has ``without_weights()``, too, if a model with it can be
exported: plain values that the class takes in place of its ``source``.

A class is imported when it is asked for: transformers, which some need, takes longer
to import than PyTorch.
"""

import importlib
from typing import TYPE_CHECKING

from ser_lib.upstreams.frames import Frames, sample_counts, time_mask
from ser_lib.upstreams.layers import LayerSum

if TYPE_CHECKING:
    from ser_lib.upstreams.apc import ApcUpstream
    from ser_lib.upstreams.cpc import CpcUpstream
    from ser_lib.upstreams.delores import DeloresUpstream
    from ser_lib.upstreams.fbank import FbankUpstream
    from ser_lib.upstreams.huggingface import HuggingFaceUpstream
    from ser_lib.upstreams.mockingjay import MockingjayUpstream
    from ser_lib.upstreams.sequence_classification import SequenceClassificationUpstream
    from ser_lib.upstreams.text import TextUpstream
    from ser_lib.upstreams.wav2vec import Wav2VecUpstream

# The module of each class.
UPSTREAMS = {
    "ApcUpstream": "apc",
    "CpcUpstream": "cpc",
    "DeloresUpstream": "delores",
    "FbankUpstream": "fbank",
    "HuggingFaceUpstream": "huggingface",
    "MockingjayUpstream": "mockingjay",
    "SequenceClassificationUpstream": "sequence_classification",
    "TextUpstream": "text",
    "Wav2VecUpstream": "wav2vec",
}

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


def __getattr__(name: str) -> type:
    """Import a class of ``UPSTREAMS``; Python calls this for names not yet here."""
    if name not in UPSTREAMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{UPSTREAMS[name]}")
    globals()[name] = getattr(module, name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *UPSTREAMS})
