"""Train on one corpus, test on the others: a matrix of scores."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"run": ["run_cross_corpus"]},
)
