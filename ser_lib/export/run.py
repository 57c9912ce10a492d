"""Export one or more folds of a finished run as a model folder.

The files of the folder are described in ``ser_lib/model_folder/description.py``.
"""

import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from ser_lib.evaluation import finished_folds
from ser_lib.export.card import model_card
from ser_lib.export.card_scores import Evidence
from ser_lib.export.finished_fold import load_trained, read_fold_info
from ser_lib.export.onnx import check_onnx_is_installed, write_onnx
from ser_lib.inference import EmotionRecognizer
from ser_lib.model import EmotionModel
from ser_lib.model_folder import (
    CARD_FILE,
    MODEL_FILE,
    ONNX_FILE,
    OWN_FILES,
    SHARED_FILE,
    WEIGHT_FILES,
    check_exportable,
    write_member,
    write_model_info,
)
from ser_lib.utils.strict_json import read_json

logger = logging.getLogger(__name__)

UNFINISHED = ".unfinished_export"


def export_run(
    run_folder: str | Path,
    out: str | Path,
    folds: Sequence[int] | None = None,
    onnx: bool = False,
    half: bool = False,
    measured_by: str | Path | None = None,
    reports: Sequence[str | Path] = (),
) -> Path:
    """Write the averaged model of one fold, or of several as an ensemble.

    Arguments
    ---------
    run_folder : str | Path
        The output folder of a run.
    out : str | Path
        The model folder. If an earlier export wrote it, the files of the export are
        replaced when all new ones are complete; other files are kept.
    folds : Sequence[int] | None
        One number, or several for an ensemble; None takes the first finished fold.
    onnx : bool
        Also write ``model.onnx``.
    half : bool
        Store the weights of encoders in float16.
    measured_by : str | Path | None
        The output folder of a run with the same settings on other folds, from which the
        card has its scores and the model its calibration; for a model that was trained
        on all speakers.
    reports : Sequence[str | Path]
        Markdown files that the card includes, such as a ``stress.md``.

    Raises
    ------
    FileNotFoundError
        If a fold is not finished, its checkpoints are missing, or a report is.
    ValueError
        If the model reads transcripts, has classes that are not in ``ser_lib`` or
        weights that are too large for float16, or the other run does not measure it.
    FileExistsError
        If ``out`` contains other files.
    """
    out = Path(out)
    _check_out(out)
    if onnx:
        check_onnx_is_installed()
    folds = folds or finished_folds(run_folder)[:1] or [1]
    key = _check_one_run({fold: read_fold_info(run_folder, fold) for fold in folds})
    texts = [_read_report(path) for path in reports]
    with _complete_folder(out) as folder:
        members, evidence = {}, None
        for fold in folds:
            model, info = load_trained(run_folder, fold, merged=len(folds) == 1)
            _check_reads_speech(model, run_folder)
            check_exportable(model, run_folder)
            if evidence is None:
                evidence = Evidence(run_folder, measured_by, info["labels"], key)
            if measured_by is not None:
                info["calibration"] = evidence.calibration
            members[f"fold_{fold}"] = write_member(folder, model, info, half)
        model_info = write_model_info(folder, info, members, half)
        card = model_card(run_folder, model_info, evidence, texts, has_onnx=onnx)
        (folder / CARD_FILE).write_text(card, encoding="utf-8")
        # Check that the folder can be loaded.
        recognizer = EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})
        if onnx:
            write_onnx(recognizer, folder / ONNX_FILE)
    return out


def _read_report(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8.") from error


def _check_out(out: Path) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or not _is_ours(out):
        raise FileExistsError(
            f"{out.resolve()} exists and is not a model folder. Choose another name; "
            f"nothing was changed."
        )


def _is_ours(out: Path) -> bool:
    """Return whether an export wrote the folder, or was interrupted in it."""
    if (out / UNFINISHED).is_dir():
        return True
    if not (out / MODEL_FILE).is_file():
        return False
    try:
        info = read_json(out / MODEL_FILE)
    except ValueError:  # an export never leaves an incomplete model.json
        return False
    return isinstance(info, dict) and {"format", "members"} <= set(info)


def _check_reads_speech(model: EmotionModel, run_folder: str | Path) -> None:
    texts = [name for name, u in model.upstreams.items() if u.reads == "text"]
    if texts:
        raise ValueError(
            f"The model of {run_folder} reads transcripts ({', '.join(texts)}), but a "
            f"model folder is used on audio only. Export a model that reads only "
            f"speech."
        )
    files = [name for name, u in model.upstreams.items() if u.reads == "id"]
    if files:
        raise ValueError(
            f"The model of {run_folder} reads files of frames ({', '.join(files)}), "
            f"which a recording to be classified does not have: a model folder is used "
            f"on audio only. Export a model that reads only speech."
        )


def _check_one_run(info: Mapping[int, Mapping]) -> str:
    """Return the settings key that all folds share."""
    keys = {fold: fold_info["settings_key"] for fold, fold_info in info.items()}
    if len(set(keys.values())) > 1:
        raise ValueError(
            f"The folds were run with different settings (settings_key {keys}), so "
            f"they cannot be an ensemble. Run the older ones again with --folds."
        )
    return next(iter(keys.values()))


@contextmanager
def _complete_folder(out: Path) -> Iterator[Path]:
    """Yield a folder within ``out``; move its files to ``out`` at the end.

    If this is killed, the old model still loads, or none until the next export.
    """
    is_new, is_complete = not out.exists(), False
    unfinished = out / UNFINISHED
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        is_complete = True
    finally:
        if not is_complete:
            shutil.rmtree(unfinished)
            if is_new:
                out.rmdir()
    _replace(out, unfinished)
    unfinished.rmdir()


def _replace(out: Path, unfinished: Path) -> None:
    """Move weights first (the old model.json refuses them) and model.json last."""
    new = {path.name for path in unfinished.iterdir()}
    patterns = WEIGHT_FILES, SHARED_FILE
    weights = {n for n in new if any(fnmatchcase(n, p) for p in patterns)}
    for name in sorted(weights):
        os.replace(unfinished / name, out / name)
    for path in out.iterdir():
        is_own = any(fnmatchcase(path.name, pattern) for pattern in OWN_FILES)
        if is_own and path.name not in new:
            path.unlink()
    for name in [*sorted(new - weights - {MODEL_FILE}), MODEL_FILE]:
        os.replace(unfinished / name, out / name)
