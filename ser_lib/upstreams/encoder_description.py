"""A Hugging Face encoder described in plain values.

A ``config.json`` can also name code, kernels and files (``auto_map``,
``_attn_implementation``, ``_name_or_path``), which transformers would fetch and run. A
description has only the keys listed here, so it is safe to read one from an untrusted
source.
"""

from collections.abc import Mapping

CONFIG_FILE = "config.json"
PREPROCESSOR_FILE = "preprocessor_config.json"
MODEL_TYPES = ("hubert", "wav2vec2", "wavlm", "data2vec-audio")

_PREPROCESSOR = "Wav2Vec2FeatureExtractor"
_CONVOLUTIONS = (
    "conv_bias",
    "conv_dim",
    "conv_kernel",
    "conv_stride",
    "do_stable_layer_norm",
    "feat_extract_activation",
    "feat_extract_norm",
    "feat_proj_dropout",
    "feat_proj_layer_norm",
    "num_feat_extract_layers",
)
_TRANSFORMER = (
    "activation_dropout",
    "attention_dropout",
    "conv_pos_batch_norm",
    "conv_pos_kernel_size",
    "final_dropout",
    "hidden_act",
    "hidden_dropout",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "layer_norm_eps",
    "layerdrop",
    "max_bucket_distance",
    "num_attention_heads",
    "num_buckets",
    "num_conv_pos_embedding_groups",
    "num_conv_pos_embeddings",
    "num_hidden_layers",
)
_ADAPTER = (
    "adapter_attn_dim",
    "adapter_kernel_size",
    "adapter_stride",
    "add_adapter",
    "num_adapter_layers",
    "output_hidden_size",
)
_MASKS = (  # they decide whether the network has a vector for masked frames
    "apply_spec_augment",
    "mask_feature_length",
    "mask_feature_min_masks",
    "mask_feature_prob",
    "mask_time_length",
    "mask_time_min_masks",
    "mask_time_prob",
)
_CLASSIFIER = ("classifier_proj_size", "use_weighted_layer_sum")
KEYS = {
    CONFIG_FILE: (
        "model_type",
        *_CONVOLUTIONS,
        *_TRANSFORMER,
        *_ADAPTER,
        *_MASKS,
        *_CLASSIFIER,
    ),
    PREPROCESSOR_FILE: (
        "feature_extractor_type",
        "do_normalize",
        "feature_size",
        "padding_side",
        "padding_value",
        "return_attention_mask",
        "sampling_rate",
    ),
}


def describe_encoder(config: Mapping, preprocessor: Mapping) -> dict[str, dict]:
    """Describe an encoder from the contents of its two settings files.

    Returns
    -------
    dict[str, dict]
        The allowed settings of each file, by its name.

    Example
    -------
    >>> config = {"model_type": "hubert", "hidden_size": 8, "_name_or_path": "/home"}
    >>> describe_encoder(config, {"do_normalize": True})["config.json"]
    {'model_type': 'hubert', 'hidden_size': 8}
    """
    files = {CONFIG_FILE: config, PREPROCESSOR_FILE: preprocessor}
    return {
        name: {key: value for key, value in content.items() if key in KEYS[name]}
        for name, content in files.items()
    }


def check_encoder(description: Mapping) -> None:
    """Check that :func:`describe_encoder` could have returned a description.

    Raises
    ------
    ValueError
        If a file or a key is not allowed, or the encoder is not one of ``MODEL_TYPES``.

    Example
    -------
    >>> check_encoder({"config.json": {"model_type": "hubert", "auto_map": {}},
    ...     "preprocessor_config.json": {}})
    Traceback (most recent call last):
    ...
    ValueError: config.json of the encoder description has unknown keys: auto_map. \
Expected only network settings, as written by python -m ser_lib.export.
    """
    if set(description) != set(KEYS):
        raise ValueError(
            f"The encoder description has "
            f"{', '.join(map(str, description)) or 'nothing'}; expected "
            f"{' and '.join(KEYS)}."
        )
    for name, content in description.items():
        unknown = [str(key) for key in content if key not in KEYS[name]]
        if unknown:
            raise ValueError(
                f"{name} of the encoder description has unknown keys: "
                f"{', '.join(unknown)}. Expected only network settings, as written by "
                f"python -m ser_lib.export."
            )
    config, preprocessor = description[CONFIG_FILE], description[PREPROCESSOR_FILE]
    kind = config.get("model_type")
    if kind not in MODEL_TYPES:
        raise ValueError(
            f"model_type of the encoder description is {kind!r}; expected one of "
            f"{', '.join(MODEL_TYPES)}."
        )
    reader = preprocessor.get("feature_extractor_type")
    if reader != _PREPROCESSOR:
        raise ValueError(
            f"feature_extractor_type of the encoder description is {reader!r}; "
            f"expected {_PREPROCESSOR}."
        )
