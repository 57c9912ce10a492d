"""Recognise emotions over HTTP: ``python -m ser_lib.serve``."""
