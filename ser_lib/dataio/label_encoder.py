"""The labels as a file of SpeechBrain's ``CategoricalEncoder``."""

from collections.abc import Sequence
from pathlib import Path

from speechbrain.dataio.encoder import CategoricalEncoder

LABEL_ENCODER_FILE = "label_encoder.txt"


def write_label_encoder(path: str | Path, labels: Sequence[str]) -> None:
    """Write a file that ``CategoricalEncoder.load`` reads.

    Arguments
    ---------
    labels : Sequence[str]
        In the order of the model's outputs.

    Example
    -------
    >>> path = getfixture("tmp_path") / LABEL_ENCODER_FILE
    >>> write_label_encoder(path, ["sad", "angry"])
    >>> encoder = CategoricalEncoder()
    >>> encoder.load(path)
    >>> encoder.expect_len(2)
    >>> encoder.decode_ndim([1, 0])
    ['angry', 'sad']
    """
    encoder = CategoricalEncoder()
    encoder.update_from_iterable(labels)
    encoder.save(path)
