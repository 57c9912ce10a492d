"""Measure where a model fails on recordings: ``python -m ser_lib.stress``."""
