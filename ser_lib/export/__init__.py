"""Export finished folds as a model folder."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "finished_fold": ["load_trained"],
        "run": ["export_run"],
    },
)
