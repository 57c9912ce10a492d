"""Synthetic speech, stand-ins for corpora, and tiny encoders."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "encoders": ["tiny_speech_settings"],
    },
)
