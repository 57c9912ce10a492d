"""Recognise emotions from the command line: ``python -m ser_lib.predict``."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "inputs": ["Recording"],
        "outputs": ["TIMELINE_SUFFIXES"],
        "results": ["find_labels"],
        "rows": ["columns_of"],
    },
)
