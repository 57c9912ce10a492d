"""A table on several machines: its steps, Ray with two nodes, and Slurm jobs."""

import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch
from miniature_run import miniature_table_options
from ray.cluster_utils import Cluster
from toy_table import OPTIONS, RECIPES, given, toy_folds, write_toy_table

from ser_lib.paper_table import plan as experiment_plan
from ser_lib.paper_table import run_table
from ser_lib.paper_table.engines import table_engine
from ser_lib.paper_table.plan import make_plan
from ser_lib.paper_table.rows import read_rows
from ser_lib.paper_table.steps import Step, run_steps, steps_of
from ser_lib.settings import Settings
from ser_lib.synthetic.encoders import write_tiny_hubert, write_tiny_whisper

NOTHING = {"ray": None, "slurm": None, "resources": None}
HELPERS = Path(__file__).parent / "helpers"
TESTS = f"{RECIPES.parent}:{HELPERS}:{HELPERS.parent}"  # what workers import
TABLE = RECIPES / "IEMOCAP" / "table1.yaml"


@dataclass(frozen=True, eq=False)
class Fake(Step):
    """A step that notes each attempt in a folder instead of training."""

    settings: object = None
    folds: object = None
    run_opts: object = None
    name: str = "fake"
    error: Exception | None = None
    waits_for: str | None = None  # until this file exists, it stays

    def run(self) -> None:
        notes = Path(self.folder)
        (notes / f"{self.name}-{os.getpid()}").touch()
        while self.waits_for and not (notes / self.waits_for).exists():
            time.sleep(0.05)
        if self.error:
            raise self.error
        (notes / f"{self.name}.threads").write_text(str(torch.get_num_threads()))


def run_fakes(needs: dict, engine) -> list[str]:
    done = []
    run_steps(needs, engine, lambda step: done.append(step.name))
    return done


def attempts(folder: Path, name: str) -> list[int]:
    """Return the processes that have started a step."""
    return [int(p.name.rpartition("-")[2]) for p in folder.glob(f"{name}-*")]


def kill_first_attempt(folder: Path, name: str) -> threading.Thread:
    """Kill the process that first starts a step, then let others finish it."""

    def kill() -> None:
        while not attempts(folder, name):
            time.sleep(0.05)
        os.kill(attempts(folder, name)[0], signal.SIGKILL)
        (folder / "go").touch()

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


# ---- the steps


@pytest.mark.slow
def test_a_step_waits_for_what_it_shares_with_others(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment_plan, "prepare", lambda settings: toy_folds())
    hubert = write_tiny_hubert(tmp_path / "hubert")
    only = "hubert_finetune,hubert_mean,hubert_ecapa,fbank_ecapa"
    small = "ecapa_channels: [16, 16, 16, 16, 48]\nfolds: 1,3"
    more = f"only: {only}\nhubert_source: {hubert}\n{small}"
    _, rows = read_rows(TABLE, given(tmp_path, more))
    needs = steps_of(make_plan(rows, OPTIONS), OPTIONS)
    named = {
        step.name: sorted(n.name for n in needed) for step, needed in needs.items()
    }
    expected = {}
    for k in (1, 3):
        frames = f"hubert_mean (upstream), fold {k}"
        expected |= {
            f"hubert_finetune, fold {k}": [],  # the training of row 2
            frames: [f"hubert_finetune, fold {k}"],
            f"hubert_mean, fold {k}": [frames],
            f"hubert_ecapa, fold {k}": [frames],
            f"fbank_ecapa, fold {k}": [],
        }
    assert named == expected


@pytest.mark.slow
def test_folds_that_share_the_frames_of_a_frozen_encoder_are_one_step(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(experiment_plan, "prepare", lambda settings: toy_folds())
    whisper = write_tiny_whisper(tmp_path / "whisper")
    more = f"only: whisper_frozen,fbank_ecapa\nwhisper_source: {whisper}\nfolds: 1,3"
    _, rows = read_rows(RECIPES / "RAVDESS" / "table1.yaml", given(tmp_path, more))
    needs = steps_of(make_plan(rows, OPTIONS), OPTIONS)
    assert {step.name for step in needs} == {
        "whisper_frozen, fold 1, 3",
        "fbank_ecapa, fold 1",
        "fbank_ecapa, fold 3",
    }


# ---- Ray


@pytest.fixture(scope="module")
def two_nodes():
    """Yield a cluster of two machines with one core each, and the second of them."""
    often = {"health_check_period_ms": 200, "health_check_failure_threshold": 5}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", TESTS)
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        small = {"num_cpus": 1, "object_store_memory": 10**8}
        head = small | {"include_dashboard": False, "_system_config": often}
        cluster = Cluster(True, head_node_args=head)
        second = cluster.add_node(**small)
        yield cluster, second
        cluster.shutdown()


@pytest.mark.slow
def test_ray_runs_steps_in_their_order_on_threads_of_their_own(two_nodes, tmp_path):
    first, second, third = (Fake(folder=str(tmp_path), name=n) for n in "abc")
    needs = {third: {second}, second: {first}, first: set()}
    with table_engine(NOTHING | {"ray": two_nodes[0].address}, tmp_path) as engine:
        assert run_fakes(needs, engine) == ["a", "b", "c"]
    assert (tmp_path / "a.threads").read_text() == "1"


@pytest.mark.slow
def test_a_step_whose_worker_is_killed_runs_again(two_nodes, tmp_path):
    killer = kill_first_attempt(tmp_path, "a")
    step = Fake(folder=str(tmp_path), name="a", waits_for="go")
    with table_engine(NOTHING | {"ray": two_nodes[0].address}, tmp_path) as engine:
        assert run_fakes({step: set()}, engine) == ["a"]
    killer.join()
    assert len(set(attempts(tmp_path, "a"))) == 2


@pytest.mark.slow
def test_an_error_in_a_worker_is_raised_here_with_its_traceback(two_nodes, tmp_path):
    step = Fake(folder=str(tmp_path), error=ValueError("fold 3 has no speaker Ses09F"))
    with table_engine(NOTHING | {"ray": two_nodes[0].address}, tmp_path) as engine:
        with pytest.raises(ValueError, match="in fake(.|\n)*line(.|\n)*Ses09F"):
            run_fakes({step: set()}, engine)


@pytest.mark.slow
def test_a_step_that_no_machine_has_room_for_is_refused(two_nodes, tmp_path):
    options = {"ray": two_nodes[0].address, "resources": {"num_gpus": 1, "num_cpus": 8}}
    with pytest.raises(ValueError, match="8 CPU, 1 GPU.*1 CPU, 0 GPU; 1 CPU, 0 GPU"):
        with table_engine(NOTHING | options, tmp_path):
            pass


def run_miniature(options: list[str], results: Path, **more: object) -> None:
    pairs = [option.removeprefix("--").split("=", 1) for option in options]
    lines = [f"{k}: {v}" for k, v in pairs if k != "noprogressbar"]
    lines += [f"{k}: {v}" for k, v in {"results_folder": results, **more}.items()]
    run_table(TABLE, "\n".join(lines), OPTIONS)


@pytest.mark.slow
def test_a_table_on_two_nodes_of_which_one_is_killed_is_that_of_one_process(
    two_nodes, tmp_path, capsys
):
    cluster, second = two_nodes
    options = [o for o in miniature_table_options(tmp_path / "data") if "=" in o]
    options = [o for o in options if not o.startswith("--folds")] + ["--folds=1,2"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run_miniature(options, tmp_path / "plain")
    torch.set_num_threads(threads)
    shared = tmp_path / "on two nodes"

    def kill() -> None:
        while not any(shared.rglob("*.ckpt")):  # both nodes are training by then
            time.sleep(0.02)
        cluster.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    capsys.readouterr()
    run_miniature(options, shared, ray=cluster.address)
    killer.join()
    printed = capsys.readouterr().out
    assert "[6/6]" in printed  # two folds: frames, hubert_mean and fbank_ecapa
    assert printed.count("The report is in") == 2
    for name in ("table1.csv", "table1.md", "claims.csv"):
        ours, theirs = (r / "table1" / name for r in (shared, tmp_path / "plain"))
        assert ours.read_text() == theirs.read_text(), name
    found = sorted(p.relative_to(shared) for p in shared.rglob("predictions.csv"))
    assert len(found) == 4
    for path in found:
        ours, theirs = (pd.read_csv(r / path) for r in (shared, tmp_path / "plain"))
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


# ---- Slurm


LOCAL = {"cluster": "local", "time_min": 5}


@pytest.mark.slow
def test_slurm_jobs_run_steps_in_their_order_and_have_logs(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", TESTS)
    first, second = (Fake(folder=str(tmp_path), name=n) for n in "ab")
    jobs, resources = tmp_path / "jobs", {"num_cpus": 2, "num_gpus": 0}
    options = NOTHING | {"slurm": LOCAL, "resources": resources}
    with table_engine(options, jobs) as engine:
        assert run_fakes({second: {first}, first: set()}, engine) == ["a", "b"]
    assert (tmp_path / "b.threads").read_text() == "2"
    assert Counter(p.suffix for p in jobs.rglob("*_log.*")) == {".err": 2, ".out": 2}


@pytest.mark.slow
def test_a_slurm_job_that_is_stopped_for_its_time_goes_on_in_another(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", TESTS)
    step = Fake(folder=str(tmp_path), name="a", waits_for="go")

    def stop() -> None:
        while not attempts(tmp_path, "a"):
            time.sleep(0.05)
        os.kill(*attempts(tmp_path, "a"), signal.SIGUSR2)  # before the limit is reached
        while len(attempts(tmp_path, "a")) < 2:
            time.sleep(0.05)
        (tmp_path / "go").touch()

    with table_engine(NOTHING | {"slurm": LOCAL}, tmp_path / "jobs") as engine:
        stopper = threading.Thread(target=stop, daemon=True)
        stopper.start()
        assert run_fakes({step: set()}, engine) == ["a"]
    stopper.join()


@pytest.mark.slow
def test_a_slurm_job_that_is_killed_is_named_with_its_log(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", TESTS)
    killer = kill_first_attempt(tmp_path, "a")
    step = Fake(folder=str(tmp_path), name="a", waits_for="never")
    with table_engine(NOTHING | {"slurm": LOCAL}, tmp_path / "jobs") as engine:
        with pytest.raises(ChildProcessError, match="a: job .* without a result.*err"):
            run_fakes({step: set()}, engine)
    killer.join()


# ---- mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ray": "local", "slurm": LOCAL}, "--ray and --slurm: choose one"),
        ({"ray": "127.0.0.1:1"}, "--ray 127.0.0.1:1: no Ray cluster answers"),
        ({"ray": "local", "resources": {"gpus": 1}}, "num_cpus.*found {'gpus': 1}"),
        ({"ray": "local", "resources": {"num_gpus": "x"}}, "num_gpus is 'x'"),
        ({"ray": "local", "resources": {"num_cpus": 0}}, "num_cpus is 0"),
        ({"slurm": "gpu"}, "found 'gpu'. Example: --slurm"),
        ({"slurm": {"partition": "gpu"}}, "time_min is None; expected minutes"),
        ({"slurm": {"time_min": 5, "cluster": "pbs"}}, "cluster is 'pbs'"),
        ({"slurm": {"time_min": 5, "partitions": "gpu"}}, "found.*partitions"),
        ({"slurm": {"time_min": 5}}, "no command sbatch"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises((ValueError, ConnectionError), match=message):
        with table_engine(NOTHING | options, tmp_path):
            pass


@pytest.mark.slow
def test_the_engine_is_checked_before_the_corpus_is_read(tmp_path, monkeypatch):
    def prepare(settings: Settings) -> list:
        raise AssertionError("read")

    monkeypatch.setattr(experiment_plan, "prepare", prepare)
    table = write_toy_table(tmp_path)
    with pytest.raises(ConnectionError, match="127.0.0.1:1"):
        run_table(table, given(tmp_path, "ray: 127.0.0.1:1"), OPTIONS)
