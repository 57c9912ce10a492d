"""A page to try a model in the browser: ``python -m ser_lib.demo``."""
