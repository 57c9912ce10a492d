"""How commands end: a message and an exit code, whatever was given and wherever."""

import errno
import importlib.util
import io
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ser_lib.utils.command import RESUMES, STARTS_OVER, run_command
from ser_lib.utils.command_line import CommandParser, path_argument

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "recipes"
MODEL = ROOT / "pretrained" / "ser_whisper_tiny"


def end_of(main, *arguments, again=RESUMES) -> int:
    """Give the exit code of a command that is run here."""
    try:
        run_command(main, again, [str(argument) for argument in arguments])
    except SystemExit as stopped:
        return stopped.code
    return 0


def raising(error: BaseException):
    """Give a main function that raises as code of this library does."""

    def main(arguments):
        raise error

    return main


def script(path: str):
    """Give the main function of a script."""
    spec = importlib.util.spec_from_file_location("script", RECIPES / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def module(name: str):
    """Give the main function of ``python -m ser_lib.<name>``."""
    found = importlib.import_module(f"ser_lib.{name}")
    if hasattr(found, "__path__"):
        found = importlib.import_module(f"ser_lib.{name}.__main__")
    return found.main


def process(*arguments, **options) -> subprocess.CompletedProcess:
    """Run Python in a process of its own."""
    options = {"cwd": ROOT, "stderr": subprocess.PIPE, "text": True, **options}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, timeout=120, **options)


# ---- what counts as a mistake of the user


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("folds: there is no fold 9."), "folds: there is no fold 9."),
        (FileNotFoundError("There is no table a.csv."), "There is no table a.csv."),
        (ModuleNotFoundError("pip install this"), "pip install this"),
        (
            PermissionError(errno.EACCES, "Permission denied", "out/a.csv"),
            "out/a.csv: Permission denied",
        ),
    ],
)
def test_a_mistake_ends_with_2_and_its_message_alone(error, message, capsys):
    assert end_of(raising(error)) == 2
    assert capsys.readouterr() == ("", f"{message}\n")


def test_debug_shows_the_traceback_of_a_mistake_and_its_message_last(capsys):
    assert end_of(raising(ValueError("no fold 9")), "--debug") == 2
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.endswith("\nno fold 9\n")


@pytest.mark.parametrize(
    "main",
    [
        lambda arguments: {}["key"],
        lambda arguments: int.from_bytes("text"),
        lambda arguments: np.random.default_rng(-1).random(),
        lambda arguments: torch.zeros(2) @ torch.zeros(3),
        lambda arguments: importlib.import_module("json").loads("{"),
    ],
)
def test_what_a_library_or_python_refuses_is_a_bug_and_keeps_its_traceback(
    main, capsys
):
    assert end_of(main) == 1
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    last = err.splitlines()[-1]
    assert "report" in last and f"torch {torch.__version__.split('+')[0]}" in last


def test_an_error_of_the_system_that_names_a_file_is_a_mistake_wherever_it_arises(
    tmp_path, capsys
):
    assert end_of(lambda arguments: (tmp_path / "no" / "file").read_text()) == 2
    assert capsys.readouterr().err == f"{tmp_path}/no/file: No such file or directory\n"


class _Reads(torch.utils.data.Dataset):
    """A data set whose only item is a file that is not there."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        from ser_lib.audio import read_audio

        return read_audio("/not/there.wav", 16000)


def test_what_a_worker_process_refuses_is_told_as_if_the_command_had(capsys):
    loader = torch.utils.data.DataLoader(_Reads(), num_workers=1)
    assert end_of(lambda arguments: list(loader)) == 2
    assert capsys.readouterr().err == "The audio file /not/there.wav does not exist.\n"


def test_the_code_of_a_command_is_kept_and_0_does_not_end_the_process(capsys):
    assert end_of(lambda arguments: 1) == 1
    assert run_command(lambda arguments: print("well"), arguments=[]) is None
    assert capsys.readouterr() == ("well\n", "")


def test_a_mistake_and_a_bug_are_in_the_log_file_of_the_run_too(tmp_path, capsys):
    handler = logging.FileHandler(tmp_path / "log.txt")
    logging.getLogger().addHandler(handler)
    try:
        end_of(raising(ValueError("no fold 9")))
        end_of(lambda arguments: {}["key"])
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
    log = (tmp_path / "log.txt").read_text()
    assert log.startswith("no fold 9\n")
    assert "KeyError: 'key'" in log


def test_under_torchrun_a_message_begins_with_the_number_of_the_process(
    monkeypatch, capsys
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert end_of(raising(ValueError("no fold 9"))) == 2
    assert capsys.readouterr().err == "[process 1] no fold 9\n"


# ---- a full disk


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "results/a.csv"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/0"),
    ],
)
def test_a_full_disk_ends_with_2_and_says_how_to_go_on(error, capsys):
    assert end_of(raising(error)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"Free some space. {RESUMES}")
    assert error.filename in line if isinstance(error, OSError) else True


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system of its own")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here, as in most containers")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_file_that_does_not_fit_on_the_disk_is_named_and_not_left_behind(
    small_disk, capsys
):
    from ser_lib.utils.files import atomic_path

    def main(arguments):
        with atomic_path(small_disk / "table.csv") as unfinished:
            unfinished.write_bytes(bytes(200_000))

    assert end_of(main) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{small_disk}/table.csv: No space left on device.")
    assert not any(small_disk.iterdir())


# ---- streams and signals, in processes of their own

_SHORT = """
from ser_lib.utils.command import RESUMES, run_command
def main(arguments):
    {body}
run_command(main, RESUMES)
"""


def short(body: str, **options) -> subprocess.CompletedProcess:
    """Run a command whose main function is ``body``."""
    return process("-c", _SHORT.format(body=body), **options)


@pytest.mark.parametrize("buffering", ["", "1"])
def test_a_reader_that_has_gone_ends_a_command_quietly_with_141(buffering):
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = short(
        "print('rows')",
        stdout=write_end,
        env={**os.environ, "PYTHONUNBUFFERED": buffering},
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_lost_connection_that_is_not_a_pipe_of_ours_is_told(capsys):
    assert end_of(raising(BrokenPipeError(errno.EPIPE, "Broken pipe"))) == 2
    assert "Broken pipe" in capsys.readouterr().err


@pytest.mark.parametrize("buffering", ["", "1"])
def test_output_to_a_full_disk_ends_with_2_and_one_line(buffering):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with open("/dev/full", "w") as full:
        done = short(
            "print('rows')",
            stdout=full,
            env={**os.environ, "PYTHONUNBUFFERED": buffering},
        )
    assert done.returncode == 2
    assert done.stderr == f"No space left on device. Free some space. {RESUMES}\n"


@pytest.mark.parametrize(
    ("closed", "body", "code", "err"),
    [
        (1, "print('rows')", 2, ["Standard output is closed, and this command"]),
        (0, "import sys; sys.stdin.buffer.read()", 2, ["Standard input is closed"]),
        (0, "import sys; sys.stdin.read()", 2, ["Standard input is closed"]),
        (1, "open('file', 'w').write('rows')", 0, []),
        (2, "raise ValueError('no fold 9')", 2, []),
    ],
)
def test_a_closed_standard_stream_is_told_where_it_is_needed(
    tmp_path, closed, body, code, err
):
    shell = f'exec {closed}>&-; exec "$@"'
    text = _SHORT.format(body=body)
    done = subprocess.run(
        ["bash", "-c", shell, "bash", sys.executable, "-c", text],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == len(err)
    assert all(line.startswith(start) for line, start in zip(lines, err, strict=True))


def test_ctrl_c_ends_with_130_and_says_how_to_go_on():
    body = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    done = short(body)
    assert done.returncode == 130
    assert done.stderr == f"Interrupted. {RESUMES}\n"


def test_ctrl_c_while_a_module_is_imported_leaves_no_traceback(tmp_path):
    # A library that takes for ever to import stands for those that take seconds.
    (tmp_path / "soundfile.py").write_text("import time\ntime.sleep(60)\n")
    started = subprocess.Popen(
        [
            sys.executable,
            "-X",
            "importtime",
            "-m",
            "ser_lib.synthetic.iemocap",
            "folder",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = []
    for line in started.stderr:  # one for each module, when it is imported
        lines.append(line)
        if "| numpy" in line and line.rstrip().endswith(" numpy"):
            break
    time.sleep(0.2)
    started.send_signal(signal.SIGINT)
    rest, code = started.stderr.read(), started.wait(30)
    assert code in (-signal.SIGINT, 130)  # a shell shows 130 for both
    assert f"Interrupted. {STARTS_OVER}" in rest
    assert "Traceback" not in rest


def test_ctrl_c_while_torch_is_imported_is_no_exception_on_which_it_would_abort(
    tmp_path,
):
    (tmp_path / "torch.py").write_text(
        "import os, signal\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    os.abort()\n"  # as C++ does with an exception that nobody expects
    )
    paths = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = short("import torch", env=paths)
    assert done.returncode == -signal.SIGINT  # which a shell shows as 130
    assert done.stderr == f"Interrupted. {STARTS_OVER}\n"


def test_a_log_line_that_cannot_be_written_leaves_no_traceback(monkeypatch, capsys):
    monkeypatch.setattr(logging, "raiseExceptions", True)

    class FullDisk(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

    def main(arguments):
        logger = logging.Logger("a run")
        logger.addHandler(logging.StreamHandler(FullDisk()))
        logger.warning("Epoch 1")

    assert end_of(main) == 0
    assert capsys.readouterr().err == ""


# ---- options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", ""], "argument --out: the argument is empty"),
        (["--out=a", "--out=b"], "--out is given 2 times"),
        (["--ou=a"], "unrecognized arguments: --ou=a"),
    ],
)
def test_options_are_not_empty_nor_repeated_nor_abbreviated(arguments, message, capsys):
    parser = CommandParser("ser_lib.example", "An example.")
    parser.add_argument("--out", type=path_argument)
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_an_option_that_is_a_list_may_be_repeated():
    parser = CommandParser("ser_lib.example", "An example.")
    parser.add_argument("--group", action="append")
    assert parser.parse_args(["--group=a", "--group", "b"]).group == ["a", "b"]


# ---- every command, given something wrong


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


SAVEE = ["SAVEE/hparams/fbank_ecapa.yaml", "--data_folder=nowhere"]
MISTAKES = [
    ("SAVEE/train.py", ["nothing.yaml"], "no settings file nothing.yaml"),
    ("SAVEE/train.py", ["broken.yaml"], "broken.yaml is not valid YAML"),
    ("SAVEE/train.py", ["tab.yaml"], "cannot start any token, in line 2, 'b: 1'"),
    ("SAVEE/train.py", ["twice.yaml"], 'found duplicate key "a"'),
    ("SAVEE/train.py", ["binary.yaml"], "binary.yaml is not text in UTF-8"),
    ("SAVEE/train.py", ["list.yaml"], "list.yaml does not hold 'key: value'"),
    ("SAVEE/train.py", ["loop.yaml"], "loop.yaml extends itself"),
    ("SAVEE/train.py", ["number.yaml"], "number.yaml extends 3"),
    ("SAVEE/train.py", ["unknown.yaml"], 'The reference "nothing" is not valid'),
    ("SAVEE/train.py", ["class.yaml"], "There is no such class as nothing.Here"),
    ("SAVEE/train.py", ["argument.yaml"], "unexpected keyword argument 'sizes'"),
    ("SAVEE/train.py", [SAVEE[0]], "give --data_folder"),
    ("SAVEE/train.py", SAVEE, "There is no folder nowhere"),
    ("SAVEE/train.py", [*SAVEE, "--lr_downstrem=1"], "Did you mean 'lr_downstream'"),
    ("SAVEE/train.py", [*SAVEE, "--note=a: b: c"], "mapping values are not allowed"),
    (
        "SAVEE/train.py",
        [*SAVEE, "--corpus={labels: ["],
        "--corpus {labels: [ cannot be",
    ),
    ("SAVEE/train.py", [*SAVEE, "--note=!ref <nothing>"], '"nothing" is not valid'),
    ("SAVEE/train.py", [*SAVEE, "--model=ecapa"], "'ecapa'; expected an object"),
    ("SAVEE/train.py", [*SAVEE, "--history=no"], "such as !new:ser_lib.training.Hist"),
    ("SAVEE/train.py", [*SAVEE, "--device=tpu9"], "--device 'tpu9' cannot be used"),
    ("SAVEE/train.py", [*SAVEE, "--precision=fp64"], "invalid choice: 'fp64'"),
    ("SAVEE/train.py", [*SAVEE, "--debug_batches=x"], "invalid int value: 'x'"),
    ("SAVEE/train.py", [], "required: param_file"),
    ("Custom/train.py", ["Custom/hparams/fbank_ecapa.yaml"], "give --csv"),
    (
        "Custom/train.py",
        ["Custom/hparams/fbank_ecapa.yaml", "--csv=part.csv"],
        "expected the columns path, label, speaker",
    ),
    ("IEMOCAP/table1.py", ["--only=nothing"], "Unknown experiment 'nothing' in --only"),
    ("IEMOCAP/table1.py", ["--note=a: b: c"], "mapping values are not allowed"),
    ("IEMOCAP/table1.py", ["--plan_only=perhaps"], "expected True or False"),
    ("Pretraining/train.py", ["Pretraining/hparams/apc.yaml"], "give --data_folder"),
    (
        "Pretraining/train.py",
        ["Pretraining/hparams/apc.yaml", "--data_folder=nowhere"],
        "There is no folder nowhere",
    ),
    ("Pretraining/probe.py", [], "required: --data_folder"),
    ("Pretraining/probe.py", ["--data_folder="], "the argument is empty"),
    ("Pretraining/probe.py", ["--data_folder=x", "--methods=no"], "no settings file"),
    ("Pretraining/probe.py", ["--data_folder=x", "--nothing=1"], "nothing: 1"),
    ("Pretraining/probe.py", ["--data_folder=x", "--probe=["], "--probe is not valid"),
    ("RAVDESS/opensmile_svm.py", ["--data_folder="], "the argument is empty"),
    ("RAVDESS/opensmile_svm.py", ["--data_folder=file"], "file is not a folder"),
    ("export", ["nowhere", "out"], "nowhere is not the folder of a run"),
    ("export", ["nowhere", ""], "the argument is empty"),
    ("evaluation.report", ["nowhere"], "nowhere/report/report.json is missing"),
    ("folds", ["nowhere"], "Looked for fold_1, fold_2 ... in nowhere"),
    ("folds", ["run"], "run/fold_1/train.csv is not a part of a fold"),
    ("folds", ["run", "--corpus=c.yaml"], "c.yaml has no block 'corpus'"),
    ("evaluation.readme_table", ["nowhere"], "nowhere/README.md: No such file"),
    ("evaluation.readme_table", ["run"], "run/README.md is not text in UTF-8"),
    ("synthetic.corpora", ["savee", "file"], "file/AudioData/DC: Not a directory"),
    ("synthetic.corpora", ["timit", "x"], "invalid choice: 'timit'"),
    ("synthetic.iemocap", [], "required: folder"),
    ("synthetic.iemocap", [""], "the argument is empty"),
    ("synthetic.encoders", ["hubert", "file"], "file is a file; expected a folder"),
    ("synthetic.encoders", ["bert", "x"], "bert needs a manifest"),
    (
        "synthetic.encoders",
        ["bert", "x", "part.csv"],
        "part.csv is not a part of a fold",
    ),
    ("synthetic.encoders", ["bert", "x", "file"], "file is not a part of a fold"),
    ("predict", [MODEL, ""], "the argument is empty"),
    ("predict", ["run", "file"], "run is not a model folder: it has no model.json"),
    ("predict", [MODEL, "file", "--device=tpu9"], "--device 'tpu9' cannot be used"),
    ("predict", [MODEL, "file", "--out=a", "--out=b"], "--out is given 2 times"),
    ("stress", [MODEL], "required: --csv, --out"),
    ("stress", [MODEL, "--csv=no.csv", "--out=x"], "There is no table no.csv"),
    ("stress", ["run", "--csv=c", "--out=x"], "run is not a model folder"),
    ("stress", [MODEL, "--csv=c", "--out=x", "--label_map=3"], "label_map"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), MISTAKES)
def test_each_command_tells_a_mistake_in_its_message_and_ends_with_2(
    tmp_path, monkeypatch, capsys, name, arguments, message
):
    base = f"extends: {RECIPES}/SAVEE/hparams/fbank_ecapa.yaml\n"
    for file, content in {
        "broken.yaml": "a: [1, 2\nb: {",
        "tab.yaml": "a:\n\tb: 1\n",
        "twice.yaml": "a: 1\na: 2\n",
        "binary.yaml": b"\xff\xfe\x00RIFF",
        "list.yaml": "- 1\n",
        "loop.yaml": "extends: loop.yaml\n",
        "number.yaml": "extends: 3\n",
        "unknown.yaml": f"{base}note: !ref <nothing>\n",
        "class.yaml": "show_hparams: !new:nothing.Here\n",
        "argument.yaml": "show_hparams: !new:torch.nn.Linear\n    sizes: 3\n",
        "c.yaml": "a: 1\n",
        "part.csv": "a,b\n1,2\n",
        "file": "x",
        "run/fold_1/train.csv": "a,b\n1,2\n",
        "run/fold_1/valid.csv": "a,b\n1,2\n",
        "run/fold_1/test.csv": "a,b\n1,2\n",
        "run/README.md": b"\xff\xfe",
        "run/results.csv": "a\n",
    }.items():
        write(tmp_path / file, content)
    monkeypatch.chdir(tmp_path)
    before = {*tmp_path.rglob("*")}
    if name.endswith(".py"):
        arguments = [
            RECIPES / a if str(a).startswith(("SAVEE/", "Custom/", "Pretr")) else a
            for a in arguments
        ]
        main = script(name)
        assert main.__module__ == "script"
    else:
        main = module(name)
    monkeypatch.setattr(sys, "argv", [name])
    assert end_of(main, *arguments) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert "Traceback" not in out + err
    left = [path for path in tmp_path.rglob("*") if path not in before]
    assert not [path for path in left if "results" not in path.parts]  # an empty run


def test_the_help_of_every_command_names_debug(monkeypatch, capsys):
    for name in sorted({name for name, _, _ in MISTAKES}):
        main = script(name) if name.endswith(".py") else module(name)
        monkeypatch.setattr(sys, "argv", [name])
        assert end_of(main, "--help") == 0
        assert "--debug" in capsys.readouterr().out, name


def test_every_module_and_script_that_can_be_run_uses_the_wrapper():
    texts = {
        path: path.read_text()
        for folder in (ROOT / "ser_lib", RECIPES)
        for path in folder.rglob("*.py")
    }
    runnable = {p: t for p, t in texts.items() if 'if __name__ == "__main__":' in t}
    assert len(runnable) >= 16
    for path, text in runnable.items():
        assert "    run_command(main" in text, path


def test_a_mistake_of_a_real_process_is_one_line_and_2():
    for command_line in (
        ["recipes/SAVEE/train.py", "nothing.yaml"],
        ["-m", "ser_lib.predict", "recipes", "a.wav"],
        ["-m", "ser_lib.folds", "nothing.yaml"],
    ):
        done = process(*command_line, stdout=subprocess.PIPE)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "nothing.yaml" in line or "recipes is not a model folder" in line


# ---- the scripts of the shell


@pytest.mark.parametrize("name", ["recipes/quickstart.sh", "tests/run.sh"])
@pytest.mark.parametrize(
    ("python3", "in_venv", "message"),
    [
        ("exit 1", False, "Install Python 3.11 or later"),
        ("[ $1 = -c ]", False, "Cannot make the virtual environment"),
        ("[ $1 = -c ]", True, "The packages could not be installed"),
    ],
)
def test_a_script_that_cannot_set_up_its_environment_says_why(
    tmp_path, name, python3, in_venv, message
):
    copy = tmp_path / "copy"
    for file in ("recipes/environment.sh", "pyproject.toml", "requirements.txt", name):
        write(copy / file, (ROOT / file).read_bytes())
    write(copy / "tests" / "requirements.txt", "")
    for interpreter in ("python", "python3"):
        path = write(tmp_path / "bin" / interpreter, f"#!/bin/bash\n{python3}\n")
        path.chmod(0o755)
    env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    if in_venv:
        env["VIRTUAL_ENV"] = str(tmp_path)
    done = subprocess.run(
        ["bash", str(copy / name)], env=env, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
