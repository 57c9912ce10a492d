"""What a table of experiments still needs: found out before anything is trained.

Folds that are finished count wherever they were computed. What several rows share, a
fine-tuned fold or its frames, counts once, for the first row that needs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from speechbrain.utils.run_opts import RunOptions

from ser_lib.dataio import FrameStore, fold_inputs, frames_bytes
from ser_lib.experiment import prepare
from ser_lib.fold_run import FoldRun
from ser_lib.folds import Fold, chosen_folds
from ser_lib.model import EmotionModel
from ser_lib.paper_table.rows import Row
from ser_lib.settings import Settings
from ser_lib.utils.disk import check_disk_space, free_bytes


@dataclass
class RowPlan:
    """What one row has and what it needs.

    Arguments
    ---------
    row : Row
        The row.
    folds : list[Fold]
        All folds of its corpus.
    finished : list[int]
        Folds that are tested.
    to_do : list[int]
        Chosen folds that are not.
    train, finetune, encode : dict[Path, int]
        Folders that are to be filled for this row, and the bytes each will take:
        trained folds of the experiment, of its stage A, and frames.
    """

    row: Row
    folds: list[Fold]
    finished: list[int]
    to_do: list[int]
    train: dict[Path, int] = field(default_factory=dict)
    finetune: dict[Path, int] = field(default_factory=dict)
    encode: dict[Path, int] = field(default_factory=dict)

    @property
    def n_bytes(self) -> int:
        """Disk that the row will take."""
        return sum(sum(w.values()) for w in (self.train, self.finetune, self.encode))


def make_plan(rows: Sequence[Row], run_opts: RunOptions) -> list[RowPlan]:
    """Look at what is there, and list what is missing.

    The model of every experiment that is not finished is built once, so settings that
    cannot be built are an error here and not after hours of training.

    Arguments
    ---------
    rows : Sequence[Row]
        The chosen rows.
    run_opts : RunOptions
        Run options.

    Returns
    -------
    list[RowPlan]
        One for each row.

    Raises
    ------
    FileNotFoundError
        If an encoder is missing.
    ValueError
        If the corpus is unsound, or an experiment reads transcripts and the corpus
        has none.
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
    """Make the table of a plan.

    Arguments
    ---------
    plans : Sequence[RowPlan]
        As made by :func:`make_plan`.

    Returns
    -------
    pd.DataFrame
        One row for each row of the table and one for the sum: folds that are finished
        and to be done, folds to fine-tune, to compute frames of and to train, disk.
    """
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
    done = sum(len(plan.finished) for plan in plans)
    total = {
        "experiment": "all",
        "finished": f"{done} of {sum(len(plan.folds) for plan in plans)}",
        "to do": str(sum(len(plan.to_do) for plan in plans)),
        **table[["fine-tune", "frames", "train", "GB"]].sum(),
    }
    counts = dict.fromkeys(("fine-tune", "frames", "train"), int)
    table = pd.concat([table, pd.DataFrame([total], index=["sum"])])
    return table.astype(counts).rename_axis("row")


def disk_text(plans: Sequence[RowPlan]) -> str:
    """Say how much disk a plan takes, and how that was estimated.

    Arguments
    ---------
    plans : Sequence[RowPlan]
        As made by :func:`make_plan`.

    Returns
    -------
    str
        A sentence or two.
    """
    folder = plans[0].row.settings["cache_folder"]
    free = free_bytes(folder)
    frames = sum(sum(plan.encode.values()) for plan in plans)
    total = sum(plan.n_bytes for plan in plans)
    return (
        f"Disk: up to {total / 1e9:.1f} GB in {folder}, where {free / 1e9:.1f} GB are "
        f"free: {frames / 1e9:.1f} GB of frames (by the durations; for text, by the "
        f"letters) and {(total - frames) / 1e9:.1f} GB of checkpoints (the kept ones "
        f"and the newest, each with two moments for a trained weight, as Adam has)."
    )


def check_disk(plans: Sequence[RowPlan]) -> None:
    """Refuse a plan that does not fit on the disk.

    Arguments
    ---------
    plans : Sequence[RowPlan]
        As made by :func:`make_plan`.

    Raises
    ------
    OSError
        With what is needed and what is free.
    """
    check_disk_space(
        plans[0].row.settings["cache_folder"],
        sum(plan.n_bytes for plan in plans),
        "The plan",
        "choose another --results_folder, or run fewer experiments (--only) or folds "
        "(--folds) at a time",
    )


def _read_corpora(rows: Sequence[Settings]) -> list[list[Fold]]:
    """Read the corpus of each row; what is the same is read once."""
    known: dict[str, list[Fold]] = {}
    corpora = []
    for settings in rows:
        as_written = settings.unresolved()
        recipe = [as_written["read_corpus"], as_written["make_folds"]]
        key = str([settings["data_folder"], settings["corpus"], recipe])
        if key not in known:
            known[key] = prepare(settings)
        corpora.append(known[key])
    return corpora


def _add_work(plan: RowPlan, runs: Sequence[FoldRun], seen: set[Path]) -> None:
    """Add what the folds of a row need and no earlier row did."""
    settings = plan.row.settings
    model = settings["model"]
    fold_inputs(settings, model.upstreams.reads, runs[0].fold)  # are there transcripts?
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
                    of_stage = stage.settings, stage.settings["model"]
                    stage_sizes[name] = _training_bytes(*of_stage)
                needed = _still_needed(stage_sizes[name], stage.folder)
                plan.finetune[stage.folder] = needed
    seen.update(plan.train, plan.finetune)


def _has_frames(folder: Path) -> bool:
    try:
        FrameStore(folder)
    except (FileNotFoundError, ValueError):  # none, or a damaged one
        return False
    return True


def _frames_bytes(
    settings: Settings, model: EmotionModel, name: str, fold: Fold
) -> int:
    utterances = [u for part in fold.parts.values() for u in part]
    return frames_bytes(utterances, model.upstreams[name], settings["sample_rate_hz"])


def _training_bytes(settings: Settings, model: EmotionModel) -> int:
    """Estimate what the checkpoints of a fold take when it is trained."""
    running = model.upstreams.without(settings["finetuned"])
    state = trained = 0
    for module in (model.downstream, running):
        state += sum(t.nbytes for t in module.state_dict().values())
        trained += sum(p.nbytes for p in module.parameters() if p.requires_grad)
    n_kept = min(settings["kept_checkpoints"] + 1, settings["number_of_epochs"])
    return n_kept * (state + 2 * trained)


def _still_needed(n_bytes: int, folder: Path) -> int:
    """Subtract what an unfinished training has written already."""
    written = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    return max(0, n_bytes - written)
