"""How sure a model must be, so that enough of its answers are right."""

from collections.abc import Mapping

import numpy as np

UNKNOWN = "unknown"  # the label of an answer that is not sure enough


def sure_label(label: str, score: float, unknown_below: float | None) -> str:
    """Return a label, or ``unknown`` if its probability is below the threshold.

    Example
    -------
    >>> sure_label("sad", 0.5, unknown_below=0.6), sure_label("sad", 0.5, None)
    ('unknown', 'sad')
    """
    is_unknown = unknown_below is not None and score < unknown_below
    return UNKNOWN if is_unknown else label


def is_calibrated(model_info: Mapping) -> bool:
    """Return whether every member of a model folder has a temperature."""
    return all("temperature" in member for member in model_info["members"].values())


def threshold_for(model_info: Mapping, accuracy: float) -> float:
    """Return the lowest probability from which on enough answers are right.

    Arguments
    ---------
    model_info : Mapping
        The content of ``model.json``.
    accuracy : float
        Wanted share of right answers, from 0 to 1, as on the validation recordings of
        the model. For an ensemble, it is the mean over its members.

    Returns
    -------
    float
        A multiple of 0.01.

    Raises
    ------
    ValueError
        If the model is not calibrated, or no threshold gives this accuracy.

    Example
    -------
    >>> member = {"temperature": 1.0, "accuracies_above": [0.6, 0.7, 0.9]}
    >>> threshold_for({"members": {"fold_1": member}}, accuracy=0.65)
    0.01
    """
    if not is_calibrated(model_info):
        raise ValueError(
            "This model is not calibrated: it does not know how often it is right. "
            "Export it again from a run with validation predictions, or choose a "
            "probability yourself (--unknown_below)."
        )
    curves = [m["accuracies_above"] for m in model_info["members"].values()]
    shortest = min(map(len, curves))
    mean = np.mean([curve[:shortest] for curve in curves], axis=0)
    enough = np.flatnonzero(mean >= accuracy)
    if not len(enough):
        raise ValueError(
            f"No threshold gives an accuracy of {accuracy:g}: on the validation "
            f"recordings, the surest answers of this model reach {mean.max():.3f}."
        )
    return float(enough[0]) / 100
