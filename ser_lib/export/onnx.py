"""Export a model to ONNX, for use without PyTorch.

The graph takes ``wavs`` (batch, samples), float32, one channel, at the model's sampling
rate, and returns ``probabilities`` (batch, labels). Both axes are dynamic, but all
utterances of a batch must have the same length: padding would need masks, which make
the graph's shapes depend on the data. Each further task is an output of its name:
(batch, classes) probabilities, or (batch, 1) values. The metadata of the file contain
``labels``, ``sample_rate_hz``, ``trim_silence_db``, ``min_duration_s`` and, if there
are any, ``tasks`` as JSON.

Each upstream and aggregator is rewritten for unpadded input (``onnx_modules.py``). The
output of the file is compared with that of the original model.
"""

import json
from pathlib import Path

import torch

from ser_lib.export.onnx_recognizer import UnpaddedRecognizer
from ser_lib.inference import EmotionRecognizer
from ser_lib.model_folder import describe_tasks
from ser_lib.utils.packages import check_installed

NEEDED = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-3
_COPIED = ("labels", "sample_rate_hz", "trim_silence_db")
_ONE_FILE_BYTES = 1_500_000_000  # protobuf is limited to 2 GB


def check_onnx_is_installed() -> None:
    """Raise ModuleNotFoundError, with what to install, if a package is missing."""
    check_installed("ONNX export", NEEDED, "onnx")


def write_onnx(recognizer: EmotionRecognizer, path: str | Path) -> Path:
    """Write an ONNX file and compare its output with PyTorch's.

    Arguments
    ---------
    recognizer : EmotionRecognizer
        A loaded model on the CPU; an ensemble becomes one graph.
    path : str | Path
        The file to write; weights above 1.5 GB go to a second file next to it.

    Raises
    ------
    ModuleNotFoundError
        If onnx, onnxscript or onnxruntime is not installed.
    TypeError
        If an upstream or aggregator has no form for unpadded input.
    RuntimeError
        If the probabilities of onnxruntime differ from those of PyTorch.
    """
    check_onnx_is_installed()
    members, tasks = list(recognizer.mods.values()), recognizer.tasks
    graph = UnpaddedRecognizer(members, recognizer.temperatures, tasks).eval()
    least_samples = max(
        graph.min_samples, round(recognizer.min_duration_s * recognizer.sample_rate_hz)
    )
    axes = {
        0: torch.export.Dim("batch"),
        1: torch.export.Dim("samples", min=least_samples),
    }
    program = torch.onnx.export(
        graph,
        (_noise(2, 2 * least_samples),),
        input_names=["wavs"],
        output_names=["probabilities", *(task.name for task in tasks)],
        dynamic_shapes={"wavs": axes},
        dynamo=True,
        verbose=False,
    )
    info = {key: recognizer.model_info[key] for key in _COPIED}
    info["min_duration_s"] = least_samples / recognizer.sample_rate_hz
    if tasks:
        info["tasks"] = describe_tasks(tasks)
    for key, value in info.items():
        program.model.metadata_props[key] = json.dumps(value)
    n_bytes = sum(value.nbytes for value in graph.state_dict().values())
    program.save(str(path), external_data=n_bytes > _ONE_FILE_BYTES)
    for shape in ((1, least_samples), (3, 3 * least_samples + 7)):
        _compare(recognizer, Path(path), _noise(*shape))
    return Path(path)


def _noise(n_utterances: int, n_samples: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(n_utterances, n_samples, generator=generator)


def _compare(recognizer: EmotionRecognizer, path: Path, wavs: torch.Tensor) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    found = [torch.from_numpy(own) for own in session.run(None, {"wavs": wavs.numpy()})]
    expected = recognizer.answer_batch(wavs)
    difference = (torch.cat(found, dim=-1) - expected).abs().max().item()
    if not difference <= TOLERANCE:
        raise RuntimeError(
            f"{path} differs from the original model by {difference:.2g} in an "
            f"answer, expected at most {TOLERANCE}. Please report this with the "
            f"versions of torch and {', '.join(NEEDED)}."
        )
