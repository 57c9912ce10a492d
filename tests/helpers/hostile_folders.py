"""Malicious model folders, and a process that loads them.

``python tests/helpers/hostile_folders.py FOLDER`` loads each folder in FOLDER. It
prints, as JSON, how loading ended, how long it took and which forbidden events it
caused.
"""

import json
import os
import resource
import sys
import time
from copy import deepcopy
from pathlib import Path

from model_folders import FBANK, hubert_definition, of_upstream

from ser_lib.inference import EmotionRecognizer
from ser_lib.upstreams.apc import published_config as apc_config
from ser_lib.upstreams.mockingjay_network import published_config as mockingjay_config

MAX_MEMORY = 8 << 30  # address space; libraries map most of it and use little
FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "socket.connect",
    "socket.getaddrinfo",
    "pickle.find_class",
    "ctypes.dlopen",
)


def fbank(**arguments) -> dict:
    network = deepcopy(FBANK)
    network["upstreams"]["fbank"] |= arguments
    return network


def ecapa(**arguments) -> dict:
    network = deepcopy(FBANK)
    network["branches"][0]["aggregator"] |= arguments
    return network


def mockingjay(**transformer) -> dict:
    config = mockingjay_config(**transformer)
    return of_upstream("MockingjayUpstream", source={"config": config})


def apc(**paras) -> dict:
    return of_upstream("ApcUpstream", source={"config": apc_config(**paras)})


def hubert(network: dict, **config) -> dict:
    network = deepcopy(network)
    network["upstreams"]["upstream"]["source"]["config.json"] |= config
    return network


def networks(folder: Path) -> dict[str, tuple[dict, str]]:
    """Return malicious descriptions, and what the refusal of each names."""
    tiny = hubert_definition(folder)
    code = {"AutoModel": "attacker/code--model.Model"}
    wide = {f"u{i}": {"class": "FbankUpstream"} for i in range(100)}
    mel = mockingjay_config()
    mel["audio"] |= {"n_freq": 16_000, "n_mels": 16_000}
    return {
        # expressions and attributes
        "attribute": (fbank(n_mels="<model.__init__>"), "TypeError"),
        "globals": (ecapa(embedding_size="<b.__globals__>"), "TypeError"),
        "call": (ecapa(input_norm="<first.cuda>"), "<first.cuda>"),
        "power": (fbank(hop_ms="<one> ** 9 ** 9 ** 9"), "TypeError"),
        "kernel": (hubert(tiny, _attn_implementation="a/kernel"), "_attn_impl"),
        "kernel_2": (hubert(tiny, attn_implementation="a/kernel"), "attn_impl"),
        # code and files
        "auto_map": (hubert(tiny, auto_map=code), "auto_map"),
        "name_or_path": (hubert(tiny, _name_or_path="/etc"), "_name_or_path"),
        "quantised": (hubert(tiny, quantization_config={}), "quantization_config"),
        "dtype": (hubert(tiny, torch_dtype="os.system"), "torch_dtype"),
        "model_type": (hubert(tiny, model_type="gpt2"), "gpt2"),
        "path": (of_upstream("CpcUpstream", source="/etc/passwd"), "/etc/passwd"),
        "hub": (of_upstream("HuggingFaceUpstream", source="a/b"), "'a/b'"),
        "function": (of_upstream("os.system"), "'os.system'"),
        "text": (of_upstream("TextUpstream", source={}), "'TextUpstream'"),
        "not_a_network": (of_upstream("time_mask"), "'time_mask'"),
        "dunder": (of_upstream("__builtins__"), "'__builtins__'"),
        "listed": (of_upstream(["FbankUpstream"]), r"['FbankUpstream']"),
        "device": (ecapa(device="cuda"), "takes no device"),
        "activation": (ecapa(activation="os.system"), "takes no activation"),
        "super": (fbank(__class__="X"), "takes no __class__"),
        # time and memory
        "layers": (mockingjay(num_hidden_layers=16_000), "more than 5000"),
        "hubert_layers": (hubert(tiny, num_hidden_layers=16_000), "more than 5000"),
        "recurrent": (apc(num_layers=16_000), "more than 5000"),
        "cpc_layers": (
            of_upstream("CpcUpstream", source={"context_layers": 16_000}),
            "more than 5000",
        ),
        "positions": (
            hubert(tiny, model_type="data2vec-audio", num_conv_pos_embeddings=9999),
            "cannot be built",
        ),
        "res2net": (
            ecapa(channels=[16_000] * 3, res2net_scale=16_000),
            "more than 5000",
        ),
        "wide": (mockingjay(hidden_size=12_000, intermediate_size=16_000), "does not"),
        "wide_hubert": (hubert(tiny, intermediate_size=16_000), "does not fit"),
        "window": (fbank(window_ms=1e9), "window_ms is 1000000000.0"),
        "bands": (fbank(n_mels=10**18), "n_mels is 1000000000000000000"),
        "mel": (
            of_upstream("MockingjayUpstream", source={"config": mel}),
            "n_freq is 16000",
        ),
        "many": ({**FBANK, "upstreams": wide}, "up to 8 of each"),
        "negative": (ecapa(embedding_size=-1), "RuntimeError"),
        "no_hop": (fbank(hop_ms=0), "0 samples"),
        "recursive": ({**FBANK, "branches": [FBANK] * 2}, "upstreams (a class"),
        "hook": ({**FBANK, "hook": "os.system"}, "not described as expected"),
    }


def texts() -> dict[str, tuple[str, str]]:
    """Return malicious contents of model.json, and what the refusal of each names."""
    return {
        "deep": ("[" * 100_000, "nested too deeply"),
        "deep_mappings": ('{"a":' * 100_000, "nested too deeply"),
        "nan": ('{"format": NaN}', "NaN is not a finite number"),
        "infinite": ('{"format": 1e999}', "1e999 is not a finite number"),
        "digits": ('{"format": ' + "9" * 100_000 + "}", "not valid JSON"),
        "twice": ('{"format": 2, "format": 1}', "'format' occurs twice"),
        "all_twice": ("{" + '"a":1,' * 100_000 + '"a":1}', "'a' occurs twice"),
        "large": (" " * 2_000_000, "more than 1000000 bytes"),
        "latin": ('{"format": "\udcff"}', "not valid JSON"),
        "list": ("[2]", "has the format None"),
    }


def load_all(parent: Path) -> dict[str, dict]:
    """Load each folder, recording forbidden events with an audit hook."""
    did = []
    sys.addaudithook(lambda event, _: did.append(event) if event in FORBIDDEN else None)
    ends = {}
    for folder in sorted(parent.iterdir()):
        did.clear()
        begin = time.process_time()
        try:
            EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})
            end = "loaded"
        except (FileNotFoundError, ValueError) as error:
            end = str(error)
        seconds = time.process_time() - begin
        ends[folder.name] = {"end": end, "seconds": seconds, "did": list(did)}
    return ends


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    print(json.dumps(load_all(Path(sys.argv[1]))))
