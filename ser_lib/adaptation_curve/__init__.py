"""Measure what adaptation is worth: ``python -m ser_lib.adaptation_curve``."""
