"""What the upstreams of an experiment read: audio, transcripts, or both."""

from ser_lib.dataio.loaders import make_audio_reader
from ser_lib.folds import Fold
from ser_lib.settings import Settings


def fold_inputs(settings: Settings, reads: set[str], fold: Fold) -> dict:
    """Return where the upstreams that run in training get their input from.

    Arguments
    ---------
    settings : Settings
        Settings of the experiment.
    reads : set[str]
        ``wav``, ``text``, both or neither.
    fold : Fold
        The fold.

    Returns
    -------
    dict
        For ``make_loader``.

    Raises
    ------
    ValueError
        If transcripts are wanted and an utterance has none.
    """
    if "text" in reads:
        rows = [*fold.train, *fold.valid, *fold.test]
        empty = [u.id for u in rows if not u.text.strip()]
        if empty:
            raise ValueError(
                f"{settings['experiment']} reads transcripts, and {len(empty)} of "
                f"{len(rows)} utterances of {settings['corpus']['name']} have none, "
                f"the first is {empty[0]}. Give transcripts, or choose an experiment "
                f"on speech alone."
            )
    sources = {"wav": make_audio_reader(settings), "text": None}
    return {name: sources[name] for name in sorted(reads)}
