"""Many recordings with Ray Data: the rows of the plain command, each once."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import soundfile
from model_folders import write_folder
from predict_runner import run
from ray.cluster_utils import Cluster

from ser_lib.predict.inputs import Recording, list_recordings
from ser_lib.predict.parts import PartsOutput
from ser_lib.predict.remote import list_address

ROOT = Path(__file__).resolve().parents[1]
NOWHERE = "127.0.0.1:1"  # no Ray cluster answers there
RATE_HZ = 16000


def write_noise(folder: Path, n: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    paths = [folder / f"{i:04d}.wav" for i in range(n)]
    for path in paths:
        samples = rng.normal(0, 0.1, rng.integers(8000, 24000))
        soundfile.write(path, samples, RATE_HZ)
    return paths


@pytest.fixture(scope="module")
def address():
    """Yield the address of a cluster with two cores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        head = {"num_cpus": 2, "include_dashboard": False}
        cluster = Cluster(True, head_node_args=head)
        yield cluster.address
        cluster.shutdown()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("a model") / "m")


def predict(model: Path, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "ser_lib.predict", str(model)]
    return subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=False,
    )


def bulk_rows(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out).sort_values("path", ignore_index=True)


@pytest.mark.slow
def test_rows_are_those_of_the_plain_command(model, address, tmp_path):
    folder = tmp_path / "calls of today"
    write_noise(folder, 5)
    (folder / "text.wav").write_text("no audio")
    soundfile.write(folder / "silent.wav", np.zeros(RATE_HZ), RATE_HZ)
    plain = predict(model, folder, "--out", tmp_path / "plain.csv")
    done = predict(model, folder, "--out", tmp_path / "bulk", "--ray", address)
    assert (plain.returncode, done.returncode) == (1, 1), done.stderr
    assert "5 done, 2 failed, 0 already done." in done.stderr
    expected = pd.read_csv(tmp_path / "plain.csv").sort_values("path")
    found = bulk_rows(tmp_path / "bulk")
    assert list(found.columns) == list(expected.columns)
    for name in ("path", "label", "error"):
        pairs = zip(found[name].fillna(""), expected[name].fillna(""), strict=True)
        assert all(ours == theirs for ours, theirs in pairs)
    numbers = [c for c in expected.columns if c.startswith(("score", "p_"))]
    ours, theirs = (
        t[numbers].to_numpy(float, na_value=np.nan) for t in (found, expected)
    )
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


@pytest.mark.slow
def test_tables_and_addresses_are_read(model, address, tmp_path):
    first, second, third, fourth = write_noise(tmp_path / "calls", 4)
    table = tmp_path / "list.parquet"
    pd.DataFrame({"path": ["calls/0000.wav", f"file://{second}"]}).to_parquet(table)
    archive = shutil.make_archive(str(tmp_path / "more"), "zip", tmp_path / "calls")
    out = tmp_path / "out"
    zipped = f"zip://{third.name}::file://{archive}"
    missing = f"file://{tmp_path}/missing.wav"
    inputs = [table, zipped, f"file://{fourth}", missing]
    done = predict(model, *inputs, "--out", out, "--ray", address)
    assert "4 done, 1 failed" in done.stderr
    rows = bulk_rows(out).set_index("path")
    plain = run_plain(model, [first, second, third, fourth], tmp_path)
    names = [str(first), f"file://{second}", zipped, f"file://{fourth}"]
    assert rows.loc[names, "score"].tolist() == pytest.approx(plain, abs=2e-6)
    assert f"{missing} cannot be read: FileNotFoundError" in rows.loc[missing, "error"]


def run_plain(model: Path, paths: list[Path], folder: Path) -> list[float]:
    predict(model, *paths, "--out", folder / "plain.csv")
    return pd.read_csv(folder / "plain.csv")["score"].tolist()


@pytest.mark.slow
def test_a_killed_worker_loses_nothing_and_doubles_nothing(model, address, tmp_path):
    folder, out = tmp_path / "calls", tmp_path / "out"
    paths = write_noise(folder, 300)
    killed = []

    def kill() -> None:
        while not killed:
            time.sleep(0.05)
            for process in psutil.process_iter(["cmdline"]):
                line = " ".join(process.info["cmdline"] or [])
                if line.startswith("ray::MapWorker") and process.cpu_times().user > 2:
                    process.kill()  # it has loaded the model
                    killed.append(process.pid)
                    return

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    done = predict(model, folder, "--out", out, "--ray", address)
    assert killed
    assert "300 done, 0 failed" in done.stderr
    assert bulk_rows(out)["path"].tolist() == sorted(map(str, paths))


@pytest.mark.slow
def test_a_killed_command_resumes(model, address, tmp_path):
    folder, out = tmp_path / "calls", tmp_path / "out"
    paths = write_noise(folder, 40)
    command = [sys.executable, "-m", "ser_lib.predict", str(model), str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    options = ["--out", str(out), "--ray", address]
    with subprocess.Popen([*command, *options], env=environment) as process:
        while not (out / ".settings.json").exists():
            time.sleep(0.05)
        time.sleep(3)
        process.send_signal(signal.SIGKILL)
    done = predict(model, folder, *options)
    assert done.returncode == 0, done.stderr
    assert bulk_rows(out)["path"].tolist() == sorted(map(str, paths))
    again = predict(model, folder, "--out", out, "--ray", NOWHERE)  # nothing to do
    assert "0 done, 0 failed, 40 already done." in again.stderr
    other = write_folder(tmp_path / "other", folds=(2,))
    refused = predict(other, folder, *options)
    assert refused.returncode == 2
    assert f"{out} was started with another model" in refused.stderr


# ---- the parts


def rows_of(*names: str, **errors: str) -> pd.DataFrame:
    rows = [{"path": name, "error": errors.get(name)} for name in names]
    return pd.DataFrame(rows).astype("string")


def recordings(folder: Path, *names: str) -> list[Recording]:
    for name in names:
        (folder / name).touch()
    return [Recording(name, folder / name, name) for name in names]


def test_errors_and_changed_recordings_are_computed_again(tmp_path):
    calls, out = recordings(tmp_path, "a", "b", "c"), tmp_path / "out"
    output = PartsOutput(out, {}, calls)
    output.write(rows_of("a", "b", "c", b="no audio"))
    output.close()
    (tmp_path / "c").write_text("changed")
    output = PartsOutput(out, {}, calls)
    assert [output.is_done(call) for call in calls] == [True, False, False]
    output.write(rows_of("b", "c"))
    output.close()
    assert Counter(pd.read_parquet(out)["path"]) == {"a": 1, "b": 1, "c": 1}


def test_a_part_that_was_written_just_before_a_kill_is_not_doubled(tmp_path):
    calls, out = recordings(tmp_path, "a", "b"), tmp_path / "out"
    output = PartsOutput(out, {}, calls)
    output.write(rows_of("a"))
    output.close()
    (out / ".files.jsonl").write_text("")  # its recordings had not been noted yet
    output = PartsOutput(out, {}, calls)
    todo = [call.name for call in calls if not output.is_done(call)]
    output.write(rows_of(*todo))
    output.close()
    assert sorted(pd.read_parquet(out)["path"]) == ["a", "b"]


def test_a_folder_of_something_else_and_a_file_are_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").touch()
    with pytest.raises(ValueError, match="out exists and was not written by this"):
        PartsOutput(tmp_path / "out", {}, [])
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is a file; --ray writes a folder"):
        PartsOutput(tmp_path / "file", {}, [])


# ---- inputs and options


def test_the_audio_below_an_address_is_listed(tmp_path):
    for name in ("a.wav", "sub/b.flac", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = list_address(f"file://{tmp_path}")
    assert found == [f"file://{tmp_path}/a.wav", f"file://{tmp_path}/sub/b.flac"]
    with pytest.raises(ValueError, match=r"sub/b.flac/x cannot be read|holds no audio"):
        (tmp_path / "empty").mkdir()
        list_address(f"file://{tmp_path}/empty")
    (unknown,) = list_recordings(["nosuch://calls"])
    assert unknown.error.startswith("nosuch://calls cannot be read: ValueError")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.wav", "--ray"], "--ray needs --out FOLDER"),
        (["a.wav", "--out", "o", "--timeline", "--ray"], "--timeline cannot be used"),
        (["a.wav", "--out", "o", "--adapt", "--ray"], "--adapt cannot be used"),
        (["a.wav", "--out", "o", "--format", "json", "--ray"], "--format json cannot"),
        (["-", "--out", "o", "--ray"], "standard input cannot be used with --ray"),
        (["s3://calls/a.wav"], "s3://calls/a.wav is an address, which needs --ray"),
        (["a.wav", "--out", "o", "--ray", NOWHERE], f"{NOWHERE}: no Ray cluster"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(arguments, message, tmp_path):
    arguments = [tmp_path / a if a == "o" else a for a in arguments]
    code, _, errors = run(*arguments)
    assert code == 2
    assert message in errors
    assert "Traceback" not in errors
