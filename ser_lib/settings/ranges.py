"""Allowed numbers for the settings of all recipes.

A new setting of a recipe is added here; ``checks.py`` uses the table.
"""

import math
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Range:
    """The numbers that a setting may have.

    Arguments
    ---------
    low, high : float
        Lowest and highest number.
    whole : bool
        Whether only whole numbers are allowed.
    open_low, open_high : bool
        Whether ``low`` and ``high`` themselves are excluded.
    or_null : bool
        Whether null is allowed.
    listed : bool
        Whether the setting is a list of such numbers, or of such lists.

    Example
    -------
    >>> str(Range(1, whole=True)), str(Range(0, 1, open_high=True))
    ('a whole number of at least 1', 'a number of at least 0 and below 1')
    >>> 0.5 in Range(0, 1), 1.5 in Range(1, whole=True), True in Range(1)
    (True, False, False)
    """

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    open_low: bool = False
    open_high: bool = False
    or_null: bool = False
    listed: bool = False

    def __contains__(self, value: object) -> bool:
        if self.listed:
            each = replace(self, listed=False)
            return isinstance(value, list) and all(
                item in (self if isinstance(item, list) else each) for item in value
            )
        if value is None:
            return self.or_null
        kind = int if self.whole else int | float
        if isinstance(value, bool) or not isinstance(value, kind):
            return False
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below  # NaN is neither

    def __str__(self) -> str:
        low = "above" if self.open_low else "of at least"
        high = "below" if self.open_high else "at most"
        ends = [f"{low} {self.low}"] if self.low > -math.inf else []
        ends += [f"{high} {self.high}"] if self.high < math.inf else []
        if len(ends) == 2 and not self.open_low and not self.open_high:
            ends = [f"from {self.low} to {self.high}"]
        kind = "a whole number" if self.whole else "a number"
        if self.listed:
            kind = f"a list, each {kind}"
        null = ", or null" if self.or_null else ""
        return " ".join([kind, " and ".join(ends)]).rstrip() + null


_FINITE = {"high": math.inf, "open_high": True}
_COUNT = Range(1, whole=True)
_COUNT_OR_NONE = Range(0, whole=True)
_LENGTH = Range(0, open_low=True, **_FINITE)
_NOT_NEGATIVE = Range(0, **_FINITE)
_SHARE = Range(0, 1)
_SHARE_BELOW_1 = Range(0, 1, open_high=True)
_PART = Range(0, 1, open_low=True, open_high=True)
_SEED = Range(0, 2**32 - 1, whole=True)
_PERCENT = Range(0, 100)

_COUNTS = Range(1, whole=True, listed=True)

# A colon separates a block from its keys; a star matches any name.
RANGES = {
    "attention_channels": _COUNT,
    "attention_size": _COUNT,
    "averaged_checkpoints": _COUNT,
    "batch_size": _COUNT,
    "degraded_copies": _COUNT_OR_NONE,
    "crop_s": Range(0, open_low=True, or_null=True, **_FINITE),
    "ecapa_attention_channels": _COUNT,
    "ecapa_channels": _COUNTS,
    "embedding_size": _COUNT,
    "fbank_hop_ms": _LENGTH,
    "fbank_window_ms": _LENGTH,
    "final_lr_fraction": _SHARE,
    "fold": _COUNT_OR_NONE,
    "focal_gamma": _NOT_NEGATIVE,
    "frames_hop_s": _LENGTH,
    "frames_size": _COUNT,
    "frozen_cache_gb": _NOT_NEGATIVE,
    "frozen_layers": _COUNT_OR_NONE,
    "grad_accumulation_factor": _COUNT,  # one of SpeechBrain's run options
    "kept_checkpoints": _COUNT,
    "label_smoothing": _SHARE_BELOW_1,
    "lr": _LENGTH,
    "lr_downstream": _NOT_NEGATIVE,
    "lr_layer_decay": Range(0, 1, open_low=True),
    "lr_upstream": _NOT_NEGATIVE,
    "max_batch_s": Range(0, open_low=True),
    "modality_dropout": _SHARE,
    "n_folds": Range(2, whole=True),
    "n_mels": _COUNT,
    "num_workers": _COUNT_OR_NONE,
    "number_of_epochs": _COUNT,
    "patience": _COUNT,
    "projection_size": _COUNT,
    "average_after": _SHARE_BELOW_1,
    "sample_rate_hz": Range(1000, 384_000, whole=True),
    "seed": _SEED,
    "speeds_percent": Range(10, 1000, whole=True, listed=True),
    "stem_channels": _COUNT_OR_NONE,
    "trim_silence_db": Range(0, open_low=True, or_null=True, **_FINITE),
    "warmup_fraction": _SHARE_BELOW_1,
    # Blocks and the arguments of objects
    "corpus: archive: size_bytes": _COUNT,
    "corpus: counts: *": _COUNT_OR_NONE,
    "corpus: max_duration_s": _LENGTH,
    "corpus: min_duration_s": _NOT_NEGATIVE,
    "corpus: sample_rate_hz": Range(1000, 384_000, whole=True),
    "epoch_counter: limit_warmup": _COUNT_OR_NONE,
    "finetuned: *: averaged_checkpoints": _COUNT,
    "frame_augment: augmentations: dim": Range(1, 2, whole=True),
    "frame_augment: augmentations: drop_count_high": _COUNT_OR_NONE,
    "frame_augment: augmentations: drop_count_low": _COUNT_OR_NONE,
    "frame_augment: augmentations: drop_length_high": _COUNT,
    "frame_augment: augmentations: drop_length_low": _COUNT,
    "frame_augment: augmentations: max_db": _NOT_NEGATIVE,
    "frame_augment: max_augmentations": _COUNT_OR_NONE,
    "frame_augment: min_augmentations": _COUNT_OR_NONE,
    "lora: lora_alpha": _LENGTH,
    "lora: lora_dropout": _SHARE_BELOW_1,
    "lora: r": _COUNT,
    "make_folds: n_folds": Range(2, whole=True),
    "make_folds: seed": _SEED,
    "make_folds: test_share": _PART,
    "make_folds: valid_share": _PART,
    "optimizer: momentum": _SHARE_BELOW_1,
    "optimizer: weight_decay": _NOT_NEGATIVE,
    "paper: UA": _PERCENT,
    "paper: WA": _PERCENT,
    "rows: row": _COUNT,
    "wav_augment: max_augmentations": _COUNT_OR_NONE,
    "wav_augment: min_augmentations": _COUNT_OR_NONE,
    # Pre-training
    "aggregator_layers": _COUNTS,
    "beta": _NOT_NEGATIVE,
    "cluster_layer": _COUNT_OR_NONE,
    "clustered_s": _LENGTH,
    "context_dim": _COUNT,
    "counts_by: *: *": _COUNT_OR_NONE,
    "decay": Range(0, 1, listed=True),
    "dim": _COUNT,
    "encoder: conv_dim": _COUNTS,
    "encoder: hidden_size": _COUNT,
    "encoder: intermediate_size": _COUNT,
    "encoder: layerdrop": _SHARE_BELOW_1,
    "encoder: num_attention_heads": _COUNT,
    "encoder: num_conv_pos_embedding_groups": _COUNT,
    "encoder: num_hidden_layers": _COUNT,
    "feature_layers": _COUNTS,
    "hidden_size": _COUNT,
    "mask_length": _COUNT,
    "mask_share": _PART,
    "max_duration_s": _LENGTH,
    "min_duration_s": _NOT_NEGATIVE,
    "n_clusters": Range(2, whole=True),
    "n_distractors": _COUNT,
    "n_negatives": _COUNT,
    "num_layers": _COUNT,
    "off_diagonal_weight": _NOT_NEGATIVE,
    "quantiser: codevector_dim": _COUNT,
    "quantiser: num_codevectors_per_group": _COUNT,
    "quantiser: num_negatives": _COUNT,
    "quantiser: proj_codevector_dim": _COUNT,
    "span_frames": _COUNT,
    "steps_ahead": _COUNT,
    "top_layers": _COUNT,
    "transformer: hidden_size": _COUNT,
    "transformer: intermediate_size": _COUNT,
    "transformer: num_attention_heads": _COUNT,
    "transformer: num_hidden_layers": _COUNT,
    "valid_share": _PART,
}
_PATTERNS = [name for name in RANGES if "*" in name]


def range_of(name: str) -> Range | None:
    """Return the range of a setting by its full name; None if it has none.

    Example
    -------
    >>> str(range_of("corpus: counts: sad"))
    'a whole number of at least 0'
    """
    if name in RANGES:
        return RANGES[name]
    matching = (pattern for pattern in _PATTERNS if fnmatchcase(name, pattern))
    return RANGES.get(next(matching, ""))
