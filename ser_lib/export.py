"""Export a finished run as a model folder that anybody can use:

    python -m ser_lib.export RUN_FOLDER OUT                  the first finished fold
    python -m ser_lib.export RUN_FOLDER OUT --fold 3
    python -m ser_lib.export RUN_FOLDER OUT --ensemble       all folds, averaged
    python -m ser_lib.export RUN_FOLDER OUT --onnx           also for onnxruntime
    python -m ser_lib.export RUN_FOLDER OUT --push_to_hub OWNER/NAME

RUN_FOLDER is ``<results>/<experiment>/seed_<seed>``. What OUT then holds is said in
``ser_lib/model_folder.py``; ``ser_lib/inference.py`` reads it.
"""

import argparse
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ser_lib import upstreams
from ser_lib.finished_folds import finished_folds
from ser_lib.hub import push_to_hub
from ser_lib.inference import EmotionRecognizer
from ser_lib.model import EmotionModel
from ser_lib.model_card import model_card
from ser_lib.model_folder import FACTS_FILE, write_facts, write_member
from ser_lib.onnx_export import check_installed, write_onnx
from ser_lib.trained import load_trained


def export_run(
    run_folder: str | Path,
    out: str | Path,
    folds: Sequence[int] | None = None,
    onnx: bool = False,
) -> Path:
    """Write the averaged model of one fold, or of several as an ensemble.

    Arguments
    ---------
    run_folder : str | Path
        The output folder of a run.
    out : str | Path
        The model folder; one that an export wrote is replaced, when the new one is
        complete.
    folds : Sequence[int] | None
        One number, or several for an ensemble; None takes the first finished fold.
    onnx : bool
        Also write ``model.onnx``.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    FileNotFoundError
        If a fold is not finished, or its checkpoints are gone.
    ValueError
        If the model reads transcripts, or something else than networks of this
        library.
    FileExistsError
        If ``out`` holds something else.
    """
    out = Path(out)
    _check_out(out)
    if onnx:
        check_installed()
    folds = folds or finished_folds(run_folder)[:1] or [1]
    with _complete_folder(out) as folder:
        members, settings_keys = {}, {}
        for fold in folds:
            model, facts = load_trained(run_folder, fold)
            _check_upstreams(model, run_folder)
            settings_keys[fold] = facts["settings_key"]
            members[f"fold_{fold}"] = write_member(folder, model, facts)
        _check_one_run(settings_keys, run_folder)
        about = write_facts(folder, facts, members)
        card = model_card(run_folder, about, has_onnx=onnx)
        (folder / "README.md").write_text(card, encoding="utf-8")
        # Whatever is handed out has been loaded once by those who will load it.
        recognizer = EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})
        if onnx:
            write_onnx(recognizer, folder / "model.onnx")
    return out


def _check_out(out: Path) -> None:
    if not out.exists() or (out / FACTS_FILE).is_file():
        return
    if not out.is_dir() or any(out.iterdir()):
        raise FileExistsError(
            f"{out} is there and is no model folder. Give a new name; nothing was "
            f"changed."
        )


def _check_upstreams(model: EmotionModel, run_folder: str | Path) -> None:
    texts = [name for name, u in model.upstreams.items() if u.reads == "text"]
    if texts:
        raise ValueError(
            f"The model of {run_folder} reads transcripts ({', '.join(texts)}); a "
            f"model folder is used on audio alone. Export one that reads speech alone."
        )
    for name, upstream in model.upstreams.items():
        kind = type(upstream)
        if getattr(upstreams, kind.__name__, None) is not kind:
            raise ValueError(
                f"The model of {run_folder} cannot be exported: its upstream {name} is "
                f"of a class of your own, {kind.__module__}.{kind.__qualname__}. A "
                f"model folder builds the classes of ser_lib.upstreams alone, so that "
                f"nobody who gets it runs foreign code. Use the run itself "
                f"(ser_lib.trained.load_trained), or put the class into "
                f"ser_lib/upstreams, with a method without_weights."
            )


def _check_one_run(settings_keys: Mapping[int, str], run_folder: str | Path) -> None:
    if len(set(settings_keys.values())) > 1:
        raise ValueError(
            f"The folds of {run_folder} were run with different settings (settings_key "
            f"{dict(settings_keys)}). Run the older ones again."
        )


@contextmanager
def _complete_folder(out: Path) -> Iterator[Path]:
    """Give a folder beside ``out``; put it in its place when it is complete."""
    unfinished = out.with_name(f".unfinished.{out.name}")
    replaced = out.with_name(f".replaced.{out.name}")
    if replaced.exists() and not out.exists():  # killed between the two renames below
        replaced.rename(out)
    for leftover in (unfinished, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        if out.exists():
            out.rename(replaced)
        unfinished.rename(out)
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Export a finished run as a model folder; see the head of this file.

    Arguments
    ---------
    arguments : Sequence[str] | None
        Of the command line; ``None`` takes those of the process.
    """
    parser = argparse.ArgumentParser(description=main.__doc__.splitlines()[0])
    parser.add_argument("run_folder", type=Path, help="output folder of a run")
    parser.add_argument("out", type=Path, help="the model folder to write")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--fold", type=int, help="which fold; default: the first")
    choice.add_argument(
        "--ensemble", action="store_true", help="average all finished folds"
    )
    parser.add_argument("--onnx", action="store_true", help="also write model.onnx")
    parser.add_argument("--push_to_hub", metavar="OWNER/NAME", help="upload, private")
    options = parser.parse_args(arguments)
    folds = [options.fold] if options.fold else None
    if options.ensemble:
        folds = finished_folds(options.run_folder)
    out = export_run(options.run_folder, options.out, folds, options.onnx)
    print(f"The model folder is {out}; its card is {out / 'README.md'}")
    if options.push_to_hub:
        print(f"It is on the hub: {push_to_hub(out, options.push_to_hub)}")


if __name__ == "__main__":
    main()
