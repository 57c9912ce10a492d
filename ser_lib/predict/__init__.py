"""The command line of inference: ``python -m ser_lib.predict``."""
