"""Speech emotion recognition recipes, in the order of the data.

corpus files -> manifest -> folds -> audio -> upstream frames -> aggregator ->
utterance embedding -> classifier -> predictions -> metrics -> report.
The modules of this package stand for the steps; ``experiment.py`` runs them.
"""

import sys

__version__ = "0.1.0"

# A command imports its libraries, which takes seconds, before its main function can
# catch Ctrl-C. Python calls the program so until it has found the command's module.
if sys.argv[:1] == ["-m"]:
    from ser_lib.utils.command import report_uncaught

    sys.excepthook = report_uncaught
