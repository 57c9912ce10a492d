"""One input: how it is made, the command that gets it, and what is promised."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck, Phase, strategies

OK, FILE_FAILED, USER_ERROR = 0, 1, 2
CANARY = "canary"  # a file in the folder of a case that only an attack would write


@dataclass(frozen=True)
class Outcome:
    """What a command did.

    Arguments
    ---------
    code : int
        Exit code; the negative number of the signal that ended it.
    stdout, stderr : str
        What it printed.
    cpu_s : float
        Processor time.
    peak_rss_bytes : int
        Most memory that it held.
    hung : bool
        Whether it was killed for taking too long.
    """

    code: int
    stdout: str
    stderr: str
    cpu_s: float
    peak_rss_bytes: int
    hung: bool = False


def nothing_more(folder: Path, outcome: Outcome) -> str:
    """The check of a case that promises an exit code and no more."""
    return ""


@dataclass(frozen=True)
class Case:
    """One input.

    Arguments
    ---------
    title : str
        The input in words.
    prepare : Callable[[Path], list]
        Writes files into an empty folder, in which the command then runs, and gives
        the command: a module or script, and its arguments. It is called in the process
        that becomes the command, so it may also close or redirect its streams.
    codes : set[int]
        The exit codes that are promised.
    check : Callable[[Path, Outcome], str]
        Says what else was not as promised; nothing if all was.
    real : bool
        Whether an interpreter of its own runs it, which takes seconds to start.
    may_be_silent : bool
        Whether it needs no message where its exit code is not 0.
    """

    title: str
    prepare: Callable[[Path], list]
    codes: frozenset[int] | set[int]
    check: Callable[[Path, Outcome], str] = nothing_more
    real: bool = False
    may_be_silent: bool = False


@dataclass(frozen=True)
class Common:
    """What many cases use and none changes.

    Arguments
    ---------
    model : Path
        A model folder.
    recipes : Path
        A copy of the recipes; commands run from outside the repository.
    table : Path
        A table of made-up speech: three speakers, two labels, twelve files.
    run : Path
        The output folder of a finished run on that table.
    """

    model: Path
    recipes: Path
    table: Path
    run: Path

    @property
    def wav(self) -> Path:
        """One recording that any command takes."""
        return self.table.parent / "A" / "sad0.wav"

    def train(self, *options: object, experiment: str = "fbank_ecapa") -> list:
        """The command that trains one fold for one epoch, as small as can be."""
        folder = self.recipes / "Custom"
        hparams = folder / "hparams" / f"{experiment}.yaml"
        given = {str(option).split("=")[0] for option in options}
        tiny = [o for o in TINY_RUN if o.split("=")[0] not in given]
        table = [] if "--csv" in given else [f"--csv={self.table}"]
        return [folder / "train.py", hparams, *table, *tiny, *options]


TINY_RUN = (
    "--number_of_epochs=1",
    "--folds=1",
    "--num_workers=0",
    "--batch_size=8",
    "--tensorboard=no",
    "--stem_channels=4",
    "--ecapa_channels=[8,8,8,8,24]",
    "--ecapa_attention_channels=4",
    "--embedding_size=8",
    "--averaged_checkpoints=1",
    "--kept_checkpoints=1",
)


def draw(strategy: strategies.SearchStrategy, n: int, seed: int) -> list:
    """Draw the same values for the same seed; fewer where there are not so many."""
    drawn = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=max(n, 1),
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(strategy)
    def take(value):
        drawn.append(value)

    take()
    return drawn[:n]
