"""The sixteen upstreams of the SUPERB experiment, tiny and with random weights."""

from collections.abc import Callable
from pathlib import Path

from tiny_convolutional import written
from transformers import (
    Data2VecAudioConfig,
    Data2VecAudioModel,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WavLMModel,
)

from ser_lib.synthetic.encoders import (
    write_tiny_bert,
    write_tiny_emotion2vec,
    write_tiny_speech_encoder,
    write_tiny_whisper,
)
from ser_lib.upstreams.apc import Apc, save_apc
from ser_lib.upstreams.apc import published_config as apc_config
from ser_lib.upstreams.mockingjay import save_mockingjay
from ser_lib.upstreams.mockingjay_network import Mockingjay, published_config
from ser_lib.upstreams.wav2vec_network import Wav2Vec

TEXTS = ["we lost the car", "so", "no, no, it rains again"]
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
}
TINY_SPEECH = {
    **TINY,
    "conv_dim": (16, 16, 16, 16),
    "conv_kernel": (10, 8, 4, 4),
    "conv_stride": (5, 4, 4, 4),
    "num_conv_pos_embedding_groups": 4,
    "layerdrop": 0.0,
}


def write_legacy(folder: Path, layers: int) -> str:
    """Write Mockingjay or TERA, which differ in the number of layers."""
    config = published_config(**TINY | {"num_hidden_layers": layers})
    save_mockingjay(folder / "states.ckpt", Mockingjay(config))
    return str(folder)


def write_apc(folder: Path) -> str:
    save_apc(folder / "apc.ckpt", Apc(apc_config(hidden_size=16)))
    return str(folder)


def write_wav2vec(folder: Path) -> str:
    """Write a network whose states have one size, so that they can be summed."""
    network = Wav2Vec([(8, 10, 5), (8, 8, 4)], [(8, 2, 1), (8, 3, 1)])
    return written(folder, "wav2vec", network)


def write_wavlm(folder: Path) -> str:
    """Write a ``wavlm-base``: a group norm, the waveform not normalised."""
    config = WavLMConfig(**TINY_SPEECH, num_conv_pos_embeddings=8, num_buckets=16)
    WavLMModel(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folder)
    return str(folder)


def write_data2vec(folder: Path) -> str:
    config = Data2VecAudioConfig(**TINY_SPEECH, conv_pos_kernel_size=5)
    Data2VecAudioModel(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return str(folder)


def speech(kind: str, norm: str) -> Callable[[Path], str]:
    return lambda folder: str(write_tiny_speech_encoder(folder, kind, norm))


# Name -> family and the function that writes its checkpoint.
UPSTREAMS: dict[str, tuple[str, Callable[[Path], str | None]]] = {
    "mockingjay": ("mockingjay", lambda folder: write_legacy(folder, layers=2)),
    "tera": ("tera", lambda folder: write_legacy(folder, layers=1)),
    "apc": ("apc", write_apc),
    "cpc": ("cpc", lambda folder: written(folder, "cpc")),
    "wav2vec": ("wav2vec", write_wav2vec),
    "delores": ("delores", lambda folder: written(folder, "delores")),
    "wav2vec2": ("wav2vec2", speech("wav2vec2", "group")),
    "hubert": ("hubert", speech("hubert", "group")),
    "hubert_large": ("hubert", speech("hubert", "layer")),
    "wav2vec2_large": ("wav2vec2", speech("wav2vec2", "layer")),
    "wavlm": ("wavlm", write_wavlm),
    "data2vec": ("data2vec", write_data2vec),
    "emotion2vec": ("emotion2vec", lambda folder: str(write_tiny_emotion2vec(folder))),
    "whisper": ("whisper", lambda folder: str(write_tiny_whisper(folder))),
    "fbank": ("fbank", lambda folder: None),
    "bert": ("bert", lambda folder: str(write_tiny_bert(folder, TEXTS))),
}
