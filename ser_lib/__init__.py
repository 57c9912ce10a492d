"""Speech emotion recognition recipes, in the order of the data.

corpus files -> manifest -> folds -> audio -> upstream frames -> aggregator ->
utterance embedding -> classifier -> predictions -> metrics -> report.
The modules of this package stand for the steps; ``experiment.py`` runs them.
"""

__version__ = "0.1.0"
