"""Self-supervised pre-training: eight objectives, from a folder of audio to an encoder.

Each module is one method, each class an encoder with its loss. ``run.py`` goes from
files to an encoder that an experiment can use as its ``upstream_source``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "apc": ["ApcObjective"],
        "cpc": ["CpcObjective"],
        "data2vec": ["Data2VecObjective"],
        "delores": ["DeloresObjective"],
        "hubert": ["HubertObjective"],
        "mockingjay": ["MockingjayObjective"],
        "probe": ["Probe"],
        "probe_table": ["record"],
        "run": ["pretrain", "run_pretraining"],
        "wav2vec": ["Wav2VecObjective"],
        "wav2vec2": ["Wav2Vec2Objective"],
    },
)
