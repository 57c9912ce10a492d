"""Upstreams by family name, so that one setting selects the upstream.

``superb.yaml`` and other settings files say ``family: apc``. This module finds the
class and, if there is one, the published checkpoint.
"""

import importlib
import inspect
from typing import Any, NamedTuple

from torch import nn

from ser_lib import upstreams
from ser_lib.upstreams.layers import Layer

INTERFACE = ("reads", "dim", "hop_samples", "min_samples", "frozen")


class Family(NamedTuple):
    """One family of upstreams.

    Arguments
    ---------
    class_name : str
        Its class in ``ser_lib.upstreams``.
    source : str | None
        The default checkpoint: a hub id, or a file on the hub.
    advice : str
        What to do if there is no default checkpoint.
    """

    class_name: str
    source: str | None
    advice: str = ""

    @property
    def upstream(self) -> type[nn.Module]:
        """The class, imported on access."""
        return getattr(upstreams, self.class_name)


FAMILIES = {
    "mockingjay": Family(
        "MockingjayUpstream",
        "s3prl/mockingjay/"
        "mockingjay_logMelLinearLarge_T_AdamW_b32_500k_360hr_drop1/states-500000.ckpt",
    ),
    "tera": Family(
        "MockingjayUpstream",
        "s3prl/tera/tera_logMelBase_T_F_M_AdamW_b32_1m_960hr_drop1/states-1000000.ckpt",
    ),
    "apc": Family("ApcUpstream", "leo19941227/apc_series/apc_360hr.ckpt"),
    "cpc": Family(
        "CpcUpstream",
        None,
        "The published checkpoint is not on the Hugging Face hub. Download "
        "https://dl.fbaipublicfiles.com/librilight/CPC_checkpoints/"
        "60k_epoch4-d0f474de.pt",
    ),
    "wav2vec": Family("Wav2VecUpstream", "s3prl/converted_ckpts/wav2vec_large.pt"),
    "wav2vec2": Family("HuggingFaceUpstream", "facebook/wav2vec2-base"),
    "hubert": Family("HuggingFaceUpstream", "facebook/hubert-base-ls960"),
    "wavlm": Family("HuggingFaceUpstream", "microsoft/wavlm-base"),
    "data2vec": Family("HuggingFaceUpstream", "facebook/data2vec-audio-base"),
    "emotion2vec": Family(
        "Emotion2VecUpstream", "emotion2vec/emotion2vec_base/emotion2vec_base.pt"
    ),
    "whisper": Family("WhisperUpstream", "openai/whisper-tiny.en"),
    "delores": Family(
        "DeloresUpstream",
        None,
        "No checkpoint of DeLoRes was published. Pre-train one (recipes/Pretraining)",
    ),
    "fbank": Family("FbankUpstream", None),
    "bert": Family("TextUpstream", "google-bert/bert-base-uncased"),
}


def published_source(family: str) -> str | None:
    """Return the default checkpoint of a family.

    Arguments
    ---------
    family : str
        As for :func:`load_upstream`.

    Returns
    -------
    str | None
        Hub id, or file on the hub. None for the filter bank, which has no weights,
        and for a user's own class.

    Raises
    ------
    ValueError
        If the family is unknown, or has no published checkpoint on the hub.

    Example
    -------
    >>> published_source("apc")
    'leo19941227/apc_series/apc_360hr.ckpt'
    """
    if "." in family:
        return None
    found = _find(family)
    if found.advice:
        raise ValueError(f"{found.advice}, and pass --upstream_source FILE.")
    return found.source


def load_upstream(
    family: str,
    source: str | None = None,
    freeze: bool = True,
    layer: Layer = "sum",
    freeze_feature_extractor: bool = True,
) -> nn.Module:
    """Build an upstream by the name of its family.

    A class of your own is named with its module, ``my_module.MyUpstream``; the module
    is next to ``train.py`` or installed. The class is called with ``source``,
    ``freeze`` and ``layer``, and its instance with waveforms (batch, samples) and their
    relative lengths (batch,)::

        class Loudness(torch.nn.Module):
            reads, dim, hop_samples, min_samples, frozen = "wav", 1, 320, 320, False

            def __init__(self, source, freeze, layer):
                super().__init__()

            def forward(self, wavs, wav_lens):
                power = wavs.unfold(1, 320, 320).square().mean(-1, keepdim=True)
                return Frames(power.log1p(), sample_counts(wavs, wav_lens) // 320)

    Arguments
    ---------
    family : str
        A key of ``FAMILIES``, or a class with its module.
    source : str | None
        Checkpoint, in the format of the family.
    freeze : bool
        Train nothing of the encoder.
    layer : str | int | Sequence[int]
        ``"last"``, ``"sum"`` (learnable) or ``"all"`` hidden states, or the numbers
        of some. Ignored by the filter bank and BERT, which return only one.
    freeze_feature_extractor : bool
        Train nothing of the convolutions below the transformer. Only for the Hugging
        Face families; not passed to a class of your own.

    Raises
    ------
    ValueError
        If there is no such family or class, or the class lacks an attribute that
        upstreams need.

    Example
    -------
    >>> load_upstream("fbank").dim
    80
    """
    if "." in family:
        upstream = _import(family)(source=source, freeze=freeze, layer=layer)
        _check_interface(upstream, family)
        return upstream
    upstream_class, arguments = class_of_family(
        family, source, freeze, layer, freeze_feature_extractor
    )
    return upstream_class(**arguments)


def class_of_family(
    family: str,
    source: str | None = None,
    freeze: bool = True,
    layer: Layer = "sum",
    freeze_feature_extractor: bool = True,
) -> tuple[type[nn.Module], dict[str, Any]]:
    """Return the class that :func:`load_upstream` builds, and its arguments.

    Takes the arguments of :func:`load_upstream`, of which it returns those that the
    class accepts. Only for the families of this package.

    Raises
    ------
    ValueError
        If there is no such family.

    Example
    -------
    >>> upstream, arguments = class_of_family("bert", "folder")
    >>> upstream.__name__, arguments
    ('TextUpstream', {'source': 'folder', 'freeze': True})
    """
    upstream_class = _find(family).upstream
    arguments = {
        "source": source,
        "freeze": freeze,
        "layer": layer,
        "freeze_feature_extractor": freeze_feature_extractor,
    }
    accepted = inspect.signature(upstream_class).parameters
    return upstream_class, {k: v for k, v in arguments.items() if k in accepted}


def _find(family: str) -> Family:
    if family not in FAMILIES:
        raise ValueError(
            f"There is no family {family!r}. Expected one of {', '.join(FAMILIES)}, or "
            f"a class of your own, my_module.MyUpstream."
        )
    return FAMILIES[family]


def _import(name: str) -> type[nn.Module]:
    module_name, _, class_name = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(
            f"The upstream {name} cannot be imported ({error}). Expected the class "
            f"{class_name} in a module {module_name} that is next to train.py or "
            f"installed."
        ) from error


def _check_interface(upstream: object, name: str) -> None:
    missing = [attribute for attribute in INTERFACE if not hasattr(upstream, attribute)]
    if missing:
        raise ValueError(
            f"{name} is not an upstream: it has no {', no '.join(missing)}. See "
            f"ser_lib/upstreams/__init__.py for what each means."
        )
