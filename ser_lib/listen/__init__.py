"""Recognise emotions live: ``python -m ser_lib.listen``."""
