"""A HuBERT small enough to train in seconds, for the quickstart and the tests.

python -m ser_lib.tiny_models FOLDER
"""

import sys
from pathlib import Path

import torch
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor


def write_tiny_hubert(
    folder: str | Path, feat_extract_norm: str = "group", seed: int = 0
) -> Path:
    """Write an untrained HuBERT with random weights in Hugging Face's format.

    It has every part of the real models (https://arxiv.org/abs/2106.07447) and their
    20 ms frames, but fewer and faster convolutions and about a thousandth of the
    weights. Dropout is off: there is too little to regularise.

    Arguments
    ---------
    folder : str | Path
        Where the configuration, the weights and the feature extractor's settings
        go; it is made where it is missing.
    feat_extract_norm : str
        ``"group"`` as in the base models, which take the waveform as it is, or
        ``"layer"`` as in the large ones, which want it normalised.
    seed : int
        For the weights; the global random state is left alone.

    Returns
    -------
    Path
        The folder.

    Example
    -------
    >>> folder = write_tiny_hubert(getfixture("tmp_path"))
    >>> HubertModel.from_pretrained(folder).num_parameters() < 200_000
    True
    """
    large = feat_extract_norm == "layer"
    config = HubertConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        # Four convolutions in place of seven: untrained, the seven lose the signal.
        conv_dim=(16, 32, 32, 64),
        conv_kernel=(10, 8, 4, 4),
        conv_stride=(5, 4, 4, 4),
        conv_bias=large,
        feat_extract_norm=feat_extract_norm,
        do_stable_layer_norm=large,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=4,
        # It is trained for a few hundred steps only: dropout would slow it down.
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        layerdrop=0.0,
        apply_spec_augment=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = HubertModel(config)
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(
        do_normalize=large, return_attention_mask=large
    ).save_pretrained(folder)
    return Path(folder)


if __name__ == "__main__":
    print(f"Wrote a tiny untrained HuBERT to {write_tiny_hubert(sys.argv[1])}")
