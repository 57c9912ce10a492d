"""Pre-training without labels: eight objectives, from a folder of audio to an encoder.

Each module is one method, each class an encoder with its loss; ``run.py`` is the way
from files to an encoder that an experiment takes as its ``upstream_source``.
"""

from ser_lib.pretraining.apc import ApcObjective
from ser_lib.pretraining.cpc import CpcObjective
from ser_lib.pretraining.data2vec import Data2VecObjective
from ser_lib.pretraining.delores import DeloresObjective
from ser_lib.pretraining.hubert import HubertObjective
from ser_lib.pretraining.mockingjay import MockingjayObjective
from ser_lib.pretraining.run import pretrain
from ser_lib.pretraining.wav2vec import Wav2VecObjective
from ser_lib.pretraining.wav2vec2 import Wav2Vec2Objective

__all__ = [
    "ApcObjective",
    "CpcObjective",
    "Data2VecObjective",
    "DeloresObjective",
    "HubertObjective",
    "MockingjayObjective",
    "Wav2Vec2Objective",
    "Wav2VecObjective",
    "pretrain",
]
