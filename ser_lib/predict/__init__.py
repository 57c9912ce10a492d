"""Recognise emotions from the command line: ``python -m ser_lib.predict``."""
