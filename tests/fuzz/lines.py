"""Command lines: options that are wrong, empty, twice or without a value."""

from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

from fuzz.case import OK, USER_ERROR, Case, Common, draw

_MODULES = (
    "predict", "export", "folds", "evaluation.report", "evaluation.readme_table",
    "synthetic.corpora", "synthetic.iemocap", "synthetic.encoders",
)  # fmt: skip
_SCRIPTS = (
    "Custom/train.py", "IEMOCAP/train.py", "IEMOCAP/table1.py", "RAVDESS/train.py",
    "SAVEE/train.py", "Pretraining/train.py", "Pretraining/probe.py",
)  # fmt: skip
_WORDS = (
    "--nothing", "--nothing=1", "-x", "--", "---", "-", "", " ", "\n", "a", "=", "--=1",
    "--out", "--fold", "--csv", "--data_folder", "--device", "--debug", "--help=1", "é",
    "--hlep", "1", "nan", "\udcff", "--results_folder", "-h1", "@a", "{", "[", "*", "'",
)  # fmt: skip
_LINES = st.tuples(
    st.sampled_from([f"ser_lib.{name}" for name in _MODULES] + list(_SCRIPTS)),
    st.lists(st.sampled_from(_WORDS), max_size=4),
)


def cases(common: Common, n: int, seed: int) -> Iterator[Case]:
    """What is written down, then at least 20 that are drawn."""
    given = [*_help(common), *_predict(common), *_train(common)]
    yield from given
    for program, words in draw(_LINES, max(20, n - len(given)), seed):
        command = [_program(common, program), *words]
        # All words of them are wrong, but for what happens to be a folder's name.
        yield _case(command, {OK, USER_ERROR})


def _program(common: Common, name: str) -> str:
    return str(common.recipes / name) if name.endswith(".py") else name


def _case(command: list, codes: set[int]) -> Case:
    program, *words = map(str, command)
    title = " ".join([Path(program).name, *map(repr, words)])
    return Case(title, lambda folder: [program, *words], codes)


def _help(common: Common) -> Iterator[Case]:
    for name in (*(f"ser_lib.{module}" for module in _MODULES), *_SCRIPTS):
        program = _program(common, name)
        yield _case([program, "--help"], {OK})
        yield _case([program], {USER_ERROR})
        yield _case([program, "--no_such_option"], {USER_ERROR})


def _predict(common: Common) -> Iterator[Case]:
    model, wav = common.model, common.wav
    wrong = [
        ["", wav],
        [model, ""],
        [model, " "],
        [model],
        ["nothing", wav],
        ["no/such_model", wav],
        [wav, model],
        [common.run, wav],
        [model, wav, "--out="],
        [model, wav, "--out=."],
        [model, wav, f"--out={wav}"],
        [model, wav, "--out=nothing/a/\0b"],
        [model, wav, "--out=/proc/nothing/x"],
        [model, wav, f"--out={'a' * 300}"],
        [model, wav, "--out=a.csv", "--out=b.csv"],
        [model, wav, "--batch_size=0"],
        [model, wav, "--batch_size=x"],
        [model, wav, "--batch_size=1.5"],
        [model, wav, "--max_duration_s=nan"],
        [model, wav, "--max_duration_s=-1"],
        [model, wav, "--format=xml"],
        [model, wav, "--format=rttm"],
        [model, wav, "--device=nothing"],
        [model, wav, "--device="],
        [model, wav, "--device=cuda:99"],
        [model, wav, "--window_s=1"],
        [model, wav, "--plot=."],
        [model, wav, "--timelin"],
        *(
            [model, wav, "--timeline", option]
            for option in (
                "--window_s=0",
                "--window_s=-1",
                "--window_s=nan",
                "--window_s=inf",
                "--window_s=1e-9",
                "--hop_s=0",
                "--hop_s=nan",
                "--hop_s=1e-9",
                "--hop_s=99",
                "--min_segment_s=-1",
                "--min_segment_s=nan",
                "--skip_silence_dbfs=x",
                "--skip_silence_dbfs=nan",
            )
        ),
    ]
    for words in wrong:
        yield _case(["ser_lib.predict", *words], {USER_ERROR})
    right = [
        ["--format=json"],
        ["--format=jsonl", "--batch_size=99999999"],
        ["--out=new/folder/a.csv"],
        ["--timeline"],
        ["--timeline", "--format=rttm", "--out=new"],
        ["--timeline", "--format=audacity"],
        ["--timeline", "--plot=new/pictures", "--window_s=0.5", "--hop_s=0.1"],
        ["--max_duration_s=inf"],
    ]
    for words in right:
        yield _case(["ser_lib.predict", model, wav, *words], {OK})


def _train(common: Common) -> Iterator[Case]:
    script, hparams, csv, *options = common.train("--prepare_only=True")
    wrong = [
        ["nothing.yaml", csv],
        ["", csv],
        [".", csv],
        [common.wav, csv],
        [hparams],
        [hparams, "--csv"],
        [hparams, "--csv="],
        [hparams, "--csv=nothing.csv"],
        [hparams, csv, csv],
        [hparams, csv, "--seed=1", "--seed=2"],
        [hparams, csv, "--seed", "1", "--seed=2"],
        [hparams, csv, "--data_folder=nothing"],
        [hparams, csv, "--results_folder="],
        [hparams, csv, f"--results_folder={common.wav}"],
        [hparams, csv, "--results_folder=/proc/nothing"],
        [hparams, csv, "word"],
        [hparams, hparams, csv],
    ]
    for words in wrong:
        yield _case([script, *words, "--prepare_only=True"], {USER_ERROR})
    yield _case([script, hparams, csv, *options], {OK})
    yield _case([script, hparams, csv, "--show_hparams=True"], {OK})
    for name in ("IEMOCAP", "RAVDESS", "SAVEE"):
        script = common.recipes / name / "train.py"
        hparams = common.recipes / name / "hparams" / "fbank_ecapa.yaml"
        if name != "RAVDESS":  # which is downloaded where it is missing
            for folder in ("nothing", ".", common.wav):
                yield _case([script, hparams, f"--data_folder={folder}"], {USER_ERROR})
        yield _case([script, hparams], {USER_ERROR})
        yield _case([script, hparams, "--data_folder="], {USER_ERROR})
    for folder in ("nothing", ".", common.wav, ""):
        table = common.recipes / "IEMOCAP" / "table1.py"
        yield _case([table, f"--data_folder={folder}"], {USER_ERROR})
        pretraining = common.recipes / "Pretraining"
        method = pretraining / "hparams" / "apc.yaml"
        train = pretraining / "train.py"
        yield _case([train, method, f"--data_folder={folder}"], {USER_ERROR})
