"""What the upstreams of an experiment read: audio, transcripts, or both."""

from speechbrain.utils.logger import get_logger

from ser_lib.dataio.loaders import make_audio_reader
from ser_lib.folds import Fold
from ser_lib.settings import Settings

logger = get_logger(__name__)


def fold_inputs(
    settings: Settings, reads: set[str], fold: Fold, text_is_optional: bool = False
) -> dict:
    """Return the sources that the upstreams run in training read from.

    Arguments
    ---------
    reads : set[str]
        ``wav`` and ``text``, one of them or neither; anything else, such as ids, is in
        every batch.
    text_is_optional : bool
        Use utterances without a transcript all the same; they are counted. With
        ``modality_dropout``, it always is.

    Returns
    -------
    dict
        The ``inputs`` of ``make_loader``.

    Raises
    ------
    ValueError
        If transcripts are needed and an utterance has none, or if no utterance has one.
    """
    if "text" in reads:
        rows = [*fold.train, *fold.valid, *fold.test]
        empty = [u.id for u in rows if not u.text.strip()]
        is_optional = text_is_optional or settings["modality_dropout"] > 0
        corpus = settings["corpus"]["name"]
        if empty and is_optional and len(empty) < len(rows):
            message = "%d of %d utterances of %s have no transcript: used without text."
            logger.info(message, len(empty), len(rows), corpus)
        elif empty:
            raise ValueError(
                f"{settings['experiment']} reads transcripts, and {len(empty)} of "
                f"{len(rows)} utterances of {corpus} have none; "
                f"the first is {empty[0]}. Add transcripts, choose an experiment "
                f"that uses only speech, or train one that uses both with "
                f"--modality_dropout 0.3."
            )
    sources = {"text": None, "wav": make_audio_reader(settings)}
    return {name: source for name, source in sources.items() if name in reads}
