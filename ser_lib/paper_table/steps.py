"""What remains of a table, as steps that can run on different machines.

A step computes the frames of one fine-tuned upstream for one fold, or trains and tests
one fold of one experiment; all folds, if they share the frames of a frozen encoder.
Fine-tuning that several experiments share is done by the first step that needs it, and
the others wait for that step. Every step resumes: one that is lost is run again.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Protocol

import torch
from speechbrain.utils.run_opts import RunOptions
from torch._utils import ExceptionWrapper  # how DataLoader workers report errors

from ser_lib.experiment import log_to
from ser_lib.fold_run import FoldRun
from ser_lib.folds import Fold
from ser_lib.paper_table.plan import RowPlan
from ser_lib.settings import Settings
from ser_lib.utils.progress import Progress


@dataclass(frozen=True, eq=False)
class Step:
    """A piece of work on one fold, or on several that share frames.

    Arguments
    ---------
    settings : Settings
        Settings of the experiment.
    folds : Sequence[Fold]
        Run one after the other.
    upstream : str | None
        The fine-tuned upstream whose frames are computed; None to train and test.
    folder : str
        The working folder; relative paths of the settings start there.
    n_threads : int | None
        Threads of torch; None for its default.
    """

    settings: Settings
    folds: Sequence[Fold]
    run_opts: RunOptions
    upstream: str | None = None
    folder: str = field(default_factory=os.getcwd)
    n_threads: int | None = None

    @property
    def name(self) -> str:
        """The experiment and its folds, for messages."""
        what = f" ({self.upstream})" if self.upstream else ""
        numbers = ", ".join(str(fold.number) for fold in self.folds)
        return f"{self.settings['experiment']}{what}, fold {numbers}"

    def run(self) -> None:
        """Do the work here, in this process."""
        with contextlib.chdir(self.folder):
            log_to(Path(self.settings["output_folder"]))
            known: dict = {}
            for fold in self.folds:
                run = FoldRun(self.settings, fold, self.run_opts, known)
                if self.upstream:
                    run.frames(self.upstream)
                else:
                    run.evaluate()


@dataclass(frozen=True)
class Outcome:
    """How a step ended: on which machine, after how long, with which error."""

    host: str
    duration_s: float
    error: ExceptionWrapper | None = None


def run_step(step: Step) -> Outcome:
    """Run a step in a worker; an error is returned, to be raised where users see it."""
    start_s = time.monotonic()
    if step.n_threads:
        torch.set_num_threads(step.n_threads)
    error = None
    try:
        step.run()
    except Exception:  # noqa: BLE001 - raised again in the main process
        error = ExceptionWrapper(where=f"in {step.name}")
    return Outcome(socket.gethostname(), time.monotonic() - start_s, error)


class Engine(Protocol):
    """Runs steps somewhere (``engines.py``)."""

    def submit(self, step: Step) -> None:
        """Start a step, as soon as there is room for it."""

    def wait(self) -> tuple[Step, Outcome]:
        """Wait until one of the submitted steps has ended."""


def steps_of(plans: Sequence[RowPlan], run_opts: RunOptions) -> dict[Step, set[Step]]:
    """Return the steps that a plan lacks, each with the steps it has to wait for.

    Arguments
    ---------
    plans : Sequence[RowPlan]
        All rows of a table, from ``plan.make_plan``.
    """
    missing_frames = {folder for plan in plans for folder in plan.encode}
    needs: dict[Step, set[Step]] = {}
    fills: dict[Path, Step] = {}  # folder -> the first step that fills it
    for plan in plans:
        settings = plan.row.settings
        to_do = [fold for fold in plan.folds if fold.number in plan.to_do]
        if plan.folds_share_frames and to_do:
            needs[Step(settings, to_do, run_opts)] = set()
            continue
        for fold in to_do:
            run = FoldRun(settings, fold, run_opts)
            test = Step(settings, [fold], run_opts)
            needs[test] = set()
            if not settings["finetuned"]:
                needs[test] = _waiting_for(fills, run.folder, test)
            for name in settings["finetuned"]:
                folder = run.frames_folder(name)
                if folder not in missing_frames:
                    continue
                if folder not in fills:
                    fills[folder] = Step(settings, [fold], run_opts, name)
                    trained = run.finetuning(name).folder
                    needs[fills[folder]] = _waiting_for(fills, trained, fills[folder])
                needs[test].add(fills[folder])
    return needs


def run_steps(
    needs: dict[Step, set[Step]], engine: Engine, then: Callable[[Step], None]
) -> None:
    """Submit each step when those it needs are done, until all are.

    Arguments
    ---------
    needs : dict[Step, set[Step]]
        From :func:`steps_of`.
    then : Callable
        Called with each step that is done.

    Raises
    ------
    Exception
        That of the first step that failed.
    """
    order = TopologicalSorter(needs)
    order.prepare()
    with Progress("steps of the table", len(needs), "steps") as progress:
        n_done = 0
        while order.is_active():
            for step in order.get_ready():
                engine.submit(step)
            step, outcome = engine.wait()
            after = Progress.format_interval(outcome.duration_s)
            where = f"on {outcome.host} after {after}"
            if outcome.error:
                progress.say(f"{step.name}: failed {where}")
                outcome.error.reraise()
            order.done(step)
            progress.update()
            n_done += 1
            done = "frames computed" if step.upstream else "tested"
            progress.write(f"[{n_done}/{len(needs)}] {step.name}: {done} {where}")
            then(step)


def _waiting_for(fills: dict[Path, Step], folder: Path, step: Step) -> set[Step]:
    """Return the step that trains in a folder, or make this the one that does."""
    first = fills.setdefault(folder, step)
    return set() if first is step else {first}
