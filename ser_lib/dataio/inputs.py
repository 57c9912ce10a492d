"""What the upstreams of an experiment read: audio, transcripts, or both."""

from ser_lib.dataio.loaders import make_audio_reader
from ser_lib.folds import Fold
from ser_lib.settings import Settings


def fold_inputs(settings: Settings, reads: set[str], fold: Fold) -> dict:
    """Return the sources that the upstreams run in training read from.

    Arguments
    ---------
    reads : set[str]
        ``wav``, ``text``, both or neither.

    Returns
    -------
    dict
        The ``inputs`` of ``make_loader``.

    Raises
    ------
    ValueError
        If transcripts are read and an utterance has none.
    """
    if "text" in reads:
        rows = [*fold.train, *fold.valid, *fold.test]
        empty = [u.id for u in rows if not u.text.strip()]
        if empty:
            raise ValueError(
                f"{settings['experiment']} reads transcripts, and {len(empty)} of "
                f"{len(rows)} utterances of {settings['corpus']['name']} have none; "
                f"the first is {empty[0]}. Add transcripts, or choose an experiment "
                f"that uses only speech."
            )
    sources = {"wav": make_audio_reader(settings), "text": None}
    return {name: sources[name] for name in sorted(reads)}
