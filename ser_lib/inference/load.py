"""Load a model by the name that a command was given."""

from ser_lib.inference.interface import Recognizer


def load_recognizer(source: str, device: str) -> Recognizer:
    """Load a model folder or a model from the hub.

    Arguments
    ---------
    source : str
        A folder written by ``python -m ser_lib.export``, or a hub id.
    device : str
        A torch device, such as ``cpu``.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such model or device, or the model is damaged.
    """
    # SpeechBrain takes seconds to import; commands report wrong usage first.
    from ser_lib.inference.recognizer import EmotionRecognizer
    from ser_lib.utils.devices import check_device

    check_device(device)
    return EmotionRecognizer.from_hparams(source, run_opts={"device": device})
