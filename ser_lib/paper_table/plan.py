"""Plan what a table of experiments still has to compute, before any training.

Fine-tuned folds and frames that several rows share count once, for the first row that
needs them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from speechbrain.utils.run_opts import RunOptions

from ser_lib.dataio import FrameStore, check_frame_files, fold_inputs, frames_bytes
from ser_lib.experiment import prepare
from ser_lib.fold_run import FoldRun
from ser_lib.folds import Fold, chosen_folds
from ser_lib.model import EmotionModel
from ser_lib.paper_table.rows import Row
from ser_lib.settings import Settings
from ser_lib.training import (
    changes_frames,
    check_modality_dropout,
    choose_weights,
    saved_modules,
)
from ser_lib.utils.disk import check_disk_space, free_bytes

# What files of torch need besides numbers (measured, rounded up): for a tensor of a
# model, for one of an optimiser, and for the rest of a checkpoint.
_TENSOR_BYTES, _MOMENT_BYTES, _CHECKPOINT_BYTES = 512, 352, 6144


@dataclass
class RowPlan:
    """Finished and remaining work of one row.

    Arguments
    ---------
    row : Row
        Its experiment and settings.
    folds : list[Fold]
        All folds of its corpus.
    finished : list[int]
        Numbers of the tested folds.
    to_do : list[int]
        Numbers of the chosen folds that are not tested.
    train, finetune, encode : dict[Path, int]
        Folder to fill -> bytes it will take: downstream training, fine-tuning, frames.
    folds_share_frames : bool
        Whether the encoders run once for all folds of a run, since nothing changes
        their frames and they are pooled without weights.
    """

    row: Row
    folds: list[Fold]
    finished: list[int]
    to_do: list[int]
    train: dict[Path, int] = field(default_factory=dict)
    finetune: dict[Path, int] = field(default_factory=dict)
    encode: dict[Path, int] = field(default_factory=dict)
    folds_share_frames: bool = False

    @property
    def n_bytes(self) -> int:
        """Disk space that the row will take."""
        return sum(sum(w.values()) for w in (self.train, self.finetune, self.encode))


def make_plan(rows: Sequence[Row], run_opts: RunOptions) -> list[RowPlan]:
    """Find out what each row has and what it is missing.

    The model of every unfinished experiment is built once, so that invalid settings
    fail here and not after hours of training.

    Raises
    ------
    FileNotFoundError
        If an encoder is missing.
    ValueError
        If the corpus is invalid, or an experiment reads transcripts and the corpus has
        none.
    """
    corpora = _read_corpora([row.settings for row in rows])
    plans, seen = [], set()
    for row, folds in zip(rows, corpora, strict=True):
        runs = [FoldRun(row.settings, fold, run_opts) for fold in folds]
        try:
            finished = [run.fold.number for run in runs if run.is_tested]
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{row.experiment}: {error}") from error
        chosen = [fold.number for fold in chosen_folds(folds, row.settings["folds"])]
        to_do = [number for number in chosen if number not in finished]
        plan = RowPlan(row, folds, finished, to_do)
        if to_do:
            runs_to_do = [run for run in runs if run.fold.number in to_do]
            _add_work(plan, runs_to_do, seen)
        plans.append(plan)
    return plans


def plan_table(plans: Sequence[RowPlan]) -> pd.DataFrame:
    """Build the table of a plan: a line per row of the paper's table, then the sum."""
    lines = [
        {
            "row": str(plan.row.number),
            "experiment": plan.row.experiment,
            "finished": f"{len(plan.finished)} of {len(plan.folds)}",
            "to do": ", ".join(map(str, plan.to_do)) or "-",
            "fine-tune": len(plan.finetune),
            "frames": len(plan.encode),
            "train": len(plan.train),
            "GB": plan.n_bytes / 1e9,
        }
        for plan in plans
    ]
    table = pd.DataFrame(lines).set_index("row")
    n_finished = sum(len(plan.finished) for plan in plans)
    total = {
        "experiment": "all",
        "finished": f"{n_finished} of {sum(len(plan.folds) for plan in plans)}",
        "to do": str(sum(len(plan.to_do) for plan in plans)),
        **table[["fine-tune", "frames", "train", "GB"]].sum(),
    }
    counts = dict.fromkeys(("fine-tune", "frames", "train"), int)
    table = pd.concat([table, pd.DataFrame([total], index=["sum"])])
    return table.astype(counts).rename_axis("row")


def disk_text(plans: Sequence[RowPlan]) -> str:
    """Describe how much disk space a plan takes, and how that was estimated."""
    folder = plans[0].row.settings["cache_folder"]
    free = free_bytes(folder)
    frames = sum(sum(plan.encode.values()) for plan in plans)
    total = sum(plan.n_bytes for plan in plans)
    return (
        f"Disk: up to {total / 1e9:.1f} GB in {folder}, where {free / 1e9:.1f} GB are "
        f"free: {frames / 1e9:.1f} GB of frames (estimated from durations, or from "
        f"the letters of texts) and {(total - frames) / 1e9:.1f} GB of checkpoints "
        f"(the kept ones and the latest, including the two moments of Adam)."
    )


def check_disk(plans: Sequence[RowPlan]) -> None:
    """Raise OSError if a plan does not fit on the disk."""
    check_disk_space(
        plans[0].row.settings["cache_folder"],
        sum(plan.n_bytes for plan in plans),
        "The plan",
        "choose another --results_folder, or run fewer experiments (--only) or folds "
        "(--folds) at a time",
    )


def _read_corpora(rows: Sequence[Settings]) -> list[list[Fold]]:
    """Return the folds of each row; each corpus is read only once."""
    read: dict[str, list[Fold]] = {}
    corpora = []
    for settings in rows:
        as_written = settings.unresolved()
        recipe = [as_written["read_corpus"], as_written["make_folds"]]
        chosen = [settings["tasks"], settings["utterances"]]
        key = str([settings["data_folder"], settings["corpus"], recipe, chosen])
        if key not in read:
            read[key] = prepare(settings)
        corpora.append(read[key])
    return corpora


def _add_work(plan: RowPlan, runs: Sequence[FoldRun], seen: set[Path]) -> None:
    """Add to a plan what its folds need and no earlier row has planned."""
    settings = plan.row.settings
    model = settings["model"]
    modalities = model.downstream.modalities
    check_modality_dropout(
        settings["modality_dropout"], modalities, settings["experiment"]
    )
    fold_inputs(settings, set(modalities), runs[0].fold)  # checks transcripts
    check_frame_files(settings, model, [runs[0].fold])  # counted when it is trained
    plan.folds_share_frames = (
        not settings["finetuned"]
        and not changes_frames(settings, model.upstreams)
        and model.downstream.has_pooling
    )
    own_size, stage_sizes = _training_bytes(settings, model), {}
    for run in runs:
        if run.folder not in seen and not run.is_trained:
            plan.train[run.folder] = _still_needed(own_size, run.folder)
        for name in settings["finetuned"]:
            frames = run.frames_folder(name)
            if frames in seen or _has_frames(frames):
                continue
            seen.add(frames)
            plan.encode[frames] = _frames_bytes(settings, model, name, run.fold)
            stage = run.finetuning(name)
            if stage.folder not in seen and not stage.is_trained:
                if name not in stage_sizes:
                    stage_model = stage.settings["model"]
                    stage_sizes[name] = _training_bytes(stage.settings, stage_model)
                needed = _still_needed(stage_sizes[name], stage.folder)
                plan.finetune[stage.folder] = needed
    seen.update(plan.train, plan.finetune)


def _has_frames(folder: Path) -> bool:
    try:
        FrameStore(folder)
    except (FileNotFoundError, ValueError):  # missing or damaged
        return False
    return True


def _frames_bytes(
    settings: Settings, model: EmotionModel, name: str, fold: Fold
) -> int:
    utterances = [u for part in fold.parts.values() for u in part]
    return frames_bytes(utterances, model.upstreams[name], settings["sample_rate_hz"])


def _training_bytes(settings: Settings, model: EmotionModel) -> int:
    """Estimate the size of the checkpoints of a fold while it is trained.

    Adds adapters to the model, and freezes layers, as the settings say.
    """
    running = model.upstreams.without(settings["finetuned"])
    choose_weights(running, settings)
    modules = {"downstream": model.downstream, "upstreams": running}
    saved = [
        t for m in saved_modules(modules).values() for t in m.state_dict().values()
    ]
    weights = [p for module in modules.values() for p in module.parameters()]
    trained = [p for p in weights if p.requires_grad]
    n_kept = min(settings["kept_checkpoints"] + 1, settings["number_of_epochs"])
    n_bytes = sum(t.nbytes for t in saved) + 2 * sum(p.nbytes for p in trained)
    n_bytes += len(saved) * _TENSOR_BYTES + _CHECKPOINT_BYTES
    n_bytes += 3 * len(trained) * _MOMENT_BYTES  # two moments, the number of steps
    return n_kept * n_bytes


def _still_needed(n_bytes: int, folder: Path) -> int:
    """Subtract what an unfinished training has already written."""
    written = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    return max(0, n_bytes - written)
