"""Speech emotion recognition recipes: packages in the order of the data.

    corpora -> folds -> audio -> dataio -> upstreams -> aggregators -> model -> training
    -> evaluation -> report

``experiment.py`` runs them all, ``fold_run.py`` one fold. ``export`` turns a finished
fold into a model folder, which ``inference`` and ``predict`` use.
"""

import sys

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "experiment": ["run"],
        "inference": ["EmotionRecognizer"],
        "settings": ["Settings"],
    },
)

# A command imports its libraries, which takes seconds, before its main function can
# catch Ctrl-C. Python calls the program "-m" until it has found the command's module.
if sys.argv[:1] == ["-m"]:
    from ser_lib.utils.command import report_uncaught

    sys.excepthook = report_uncaught
