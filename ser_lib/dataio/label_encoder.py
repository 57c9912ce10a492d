"""The labels as a file of SpeechBrain's ``CategoricalEncoder``."""

from collections.abc import Sequence
from pathlib import Path

from speechbrain.dataio.encoder import CategoricalEncoder

from ser_lib.utils.files import atomic_path

LABEL_ENCODER_FILE = "label_encoder.txt"


def write_label_encoder(folder: str | Path, labels: Sequence[str]) -> None:
    """Write ``label_encoder.txt``, which ``CategoricalEncoder.load`` reads.

    Arguments
    ---------
    labels : Sequence[str]
        In the order of the model's outputs.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> write_label_encoder(folder, ["sad", "angry"])
    >>> encoder = CategoricalEncoder()
    >>> encoder.load(folder / LABEL_ENCODER_FILE)
    >>> encoder.expect_len(2)
    >>> encoder.decode_ndim([1, 0])
    ['angry', 'sad']
    """
    encoder = CategoricalEncoder()
    encoder.update_from_iterable(labels)
    with atomic_path(Path(folder) / LABEL_ENCODER_FILE) as unfinished:
        encoder.save(unfinished)
