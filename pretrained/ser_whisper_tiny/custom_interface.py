"""For SpeechBrain's foreign_class: the class itself is in ser_lib."""

from ser_lib.inference import EmotionRecognizer

__all__ = ["EmotionRecognizer"]
