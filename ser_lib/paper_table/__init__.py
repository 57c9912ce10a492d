"""Run several experiments as one table and test the claims of the paper."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "run": ["run_table", "run_table_recipe"],
    },
)
