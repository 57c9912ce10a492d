"""Aggregators: from the frames of an utterance to one embedding."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "attentive": ["AttentivePooling"],
        "cross_attention": ["CrossAttention"],
        "ecapa_tdnn": ["EcapaTdnn"],
        "pooling": ["MeanPooling", "ProjectedMean", "StatisticsPooling"],
    },
)
