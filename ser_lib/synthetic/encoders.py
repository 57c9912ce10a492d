"""Write untrained encoders small enough to train in seconds, for quickstart and tests.

python -m ser_lib.synthetic.encoders hubert FOLDER
python -m ser_lib.synthetic.encoders wav2vec2 FOLDER
python -m ser_lib.synthetic.encoders whisper FOLDER
python -m ser_lib.synthetic.encoders classifier FOLDER        (of neu, hap, ang and sad)
python -m ser_lib.synthetic.encoders bert FOLDER MANIFEST.csv (words of its column text)
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    HubertConfig,
    HubertForSequenceClassification,
    HubertModel,
    PreTrainedConfig,
    PreTrainedModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WhisperConfig,
    WhisperModel,
)

from ser_lib.corpora import read_manifest
from ser_lib.upstreams import Emotion2Vec, save_emotion2vec
from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import CommandParser, path_argument

_SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_SPEECH_MODELS = {
    "hubert": (HubertConfig, HubertModel),
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2Model),
}
# Trained for only a few hundred steps, so there is no dropout.
_TRANSFORMER = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}


def tiny_speech_settings(feat_extract_norm: str = "group") -> dict[str, Any]:
    """Return arguments for a configuration such as ``HubertConfig``.

    Arguments
    ---------
    feat_extract_norm : str
        See :func:`write_tiny_hubert`.

    Example
    -------
    >>> HubertConfig(**tiny_speech_settings("layer")).do_stable_layer_norm
    True
    """
    large = feat_extract_norm == "layer"
    return dict(
        **_TRANSFORMER,
        # Four convolutions instead of seven, which lose the signal if untrained.
        conv_dim=(16, 32, 32, 64),
        conv_kernel=(10, 8, 4, 4),
        conv_stride=(5, 4, 4, 4),
        conv_bias=large,
        feat_extract_norm=feat_extract_norm,
        do_stable_layer_norm=large,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=4,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        layerdrop=0.0,
        apply_spec_augment=False,
    )


def write_tiny_hubert(
    folder: str | Path, feat_extract_norm: str = "group", seed: int = 0
) -> Path:
    """Write an untrained HuBERT with random weights in Hugging Face's format.

    It has all parts of the real models (https://arxiv.org/abs/2106.07447) and their
    20 ms frames, but fewer and faster convolutions and about a thousandth of the
    weights.

    Arguments
    ---------
    folder : str | Path
        Gets the configuration, the weights and the settings of the feature extractor.
    feat_extract_norm : str
        ``"group"`` as in the base models, which take the raw waveform, or ``"layer"``
        as in the large ones, which take a normalised waveform.
    seed : int
        For the weights; the global random state does not change.

    Example
    -------
    >>> folder = write_tiny_hubert(getfixture("tmp_path"))
    >>> HubertModel.from_pretrained(folder).num_parameters() < 200_000
    True
    """
    return write_tiny_speech_encoder(folder, "hubert", feat_extract_norm, seed)


def write_tiny_speech_encoder(
    folder: str | Path, kind: str, feat_extract_norm: str = "group", seed: int = 0
) -> Path:
    """Write an untrained ``hubert`` or ``wav2vec2``; see :func:`write_tiny_hubert`."""
    make_config, make_model = _SPEECH_MODELS[kind]
    config = make_config(**tiny_speech_settings(feat_extract_norm))
    return _write_speech_model(folder, make_model, config, seed)


def write_tiny_classifier(
    folder: str | Path,
    labels: Sequence[str],
    feat_extract_norm: str = "group",
    use_weighted_layer_sum: bool = True,
    seed: int = 0,
) -> Path:
    """Write an untrained HuBERT with the head of a speech classifier.

    Arguments
    ---------
    folder, feat_extract_norm, seed
        See :func:`write_tiny_hubert`.
    labels : Sequence[str]
        Classes in the order of the logits.
    use_weighted_layer_sum : bool
        Whether it classifies a weighted sum of its layers, or the last one.
    """
    config = HubertConfig(
        **tiny_speech_settings(feat_extract_norm),
        use_weighted_layer_sum=use_weighted_layer_sum,
        classifier_proj_size=32,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    return _write_speech_model(folder, HubertForSequenceClassification, config, seed)


def write_tiny_emotion2vec(
    folder: str | Path, plus: bool = True, seed: int = 0
) -> Path:
    """Write an untrained emotion2vec: ``model.pt``, with a classifier if ``plus``."""
    sizes = {"dim": 32, "n_heads": 2, "mlp_dim": 32, "prenet_depth": 1, "depth": 1}
    convolutions = [(16, 10, 5), (16, 8, 8), (16, 8, 8)]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Emotion2Vec(**sizes, convolutions=convolutions, position_kernel=5)
        classifier = torch.nn.Linear(32, 9) if plus else None
    path = Path(folder) / "model.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_emotion2vec(path, network, classifier)
    return path.parent


def _write_speech_model(
    folder: str | Path,
    make_model: type[PreTrainedModel],
    config: PreTrainedConfig,
    seed: int,
) -> Path:
    _write_untrained(folder, make_model, config, seed)
    large = config.feat_extract_norm == "layer"
    Wav2Vec2FeatureExtractor(
        do_normalize=large, return_attention_mask=large
    ).save_pretrained(folder)
    return Path(folder)


def write_tiny_whisper(folder: str | Path, n_mels: int = 80, seed: int = 0) -> Path:
    """Write an untrained Whisper, encoder and decoder.

    Example
    -------
    >>> folder = write_tiny_whisper(getfixture("tmp_path"))
    >>> WhisperModel.from_pretrained(folder).encoder.num_mel_bins
    80
    """
    config = WhisperConfig(
        d_model=_TRANSFORMER["hidden_size"],
        encoder_layers=_TRANSFORMER["num_hidden_layers"],
        encoder_attention_heads=_TRANSFORMER["num_attention_heads"],
        encoder_ffn_dim=_TRANSFORMER["intermediate_size"],
        decoder_layers=1,
        decoder_attention_heads=1,
        decoder_ffn_dim=16,
        num_mel_bins=n_mels,
        vocab_size=100,
        pad_token_id=0,
    )
    _write_untrained(folder, WhisperModel, config, seed)
    return Path(folder)


def write_tiny_bert(folder: str | Path, texts: Iterable[str], seed: int = 0) -> Path:
    """Write an untrained BERT with a vocabulary of the lower-case words of some texts.

    Other words become ``[UNK]``.

    Example
    -------
    >>> folder = write_tiny_bert(getfixture("tmp_path"), ["We lost it.", "We won!"])
    >>> tokenizer = BertTokenizer.from_pretrained(folder)
    >>> tokenizer.convert_ids_to_tokens(tokenizer("it was lost")["input_ids"])
    ['[CLS]', 'it', '[UNK]', 'lost', '[SEP]']
    """
    counts = Counter(w for text in texts for w in re.findall(r"\w+|\S", text.lower()))
    words = [word for word, _ in counts.most_common()]
    vocabulary = {token: i for i, token in enumerate([*_SPECIAL_TOKENS, *words])}
    config = BertConfig(
        **_TRANSFORMER,
        vocab_size=len(vocabulary),
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    _write_untrained(folder, BertModel, config, seed)
    BertTokenizer(vocab=vocabulary, do_lower_case=True).save_pretrained(folder)
    return Path(folder)


def _write_untrained(
    folder: str | Path,
    make_model: type[PreTrainedModel],
    config: PreTrainedConfig,
    seed: int,
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make_model(config)
    model.save_pretrained(folder)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser("ser_lib.synthetic.encoders", __doc__)
    others = ["whisper", "emotion2vec", "classifier", "bert"]
    parser.add_argument("kind", choices=[*_SPEECH_MODELS, *others])
    parser.add_argument("folder", type=path_argument)
    parser.add_argument(
        "manifest",
        nargs="?",
        type=path_argument,
        help="for bert: a manifest with texts",
    )
    options = parser.parse_args(arguments)
    if options.folder.exists() and not options.folder.is_dir():
        parser.error(f"{options.folder} is a file; expected a folder to write")
    if options.kind == "classifier":
        write_tiny_classifier(options.folder, ["neu", "hap", "ang", "sad"])
    elif options.kind == "emotion2vec":
        write_tiny_emotion2vec(options.folder)
    elif options.kind == "whisper":
        write_tiny_whisper(options.folder)
    elif options.kind != "bert":
        write_tiny_speech_encoder(options.folder, options.kind)
    elif options.manifest is None:
        parser.error("bert needs a manifest, such as fold_1/train.csv of a run")
    else:
        texts = [u.text for u in read_manifest(options.manifest) if u.text]
        if not texts:
            parser.error(f"{options.manifest} has no texts")
        write_tiny_bert(options.folder, texts)
    print(f"Wrote a tiny untrained {options.kind} to {options.folder}")


if __name__ == "__main__":
    run_command(main)
