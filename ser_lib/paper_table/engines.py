"""Where the steps of a table run: Ray, or a Slurm cluster through submitit.

Both retry a lost worker, and a step resumes. The machines of a cluster need the same
environment, checkout, corpus and results folder, under the same paths.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from ser_lib.paper_table.steps import Engine, Outcome, Step, run_step
from ser_lib.utils.distributed import n_processes
from ser_lib.utils.packages import check_installed
from ser_lib.utils.ray_cluster import ray_cluster

RETRIES = 3  # of a step whose worker was lost
RESOURCES = {"num_cpus": 1, "num_gpus": None, "memory_gb": None}
SLURM_OPTIONS = (
    *("time_min", "partition", "account", "qos", "constraint", "exclude", "setup"),
    "cluster",
)
_TIMEOUTS = 50  # of one step; each job goes on where the one before was stopped
_POLL_S = {"slurm": 10, "local": 0.2}


@contextmanager
def table_engine(options: Mapping[str, Any], folder: Path) -> Iterator[Engine | None]:
    """Open what a table runs on; None for this process.

    Arguments
    ---------
    options : Mapping[str, Any]
        ``ray`` (an address), ``slurm`` (options of a job) and ``resources`` of a step,
        see ``recipes/IEMOCAP/table1.yaml``.
    folder : Path
        Where the files of Slurm jobs are kept.

    Raises
    ------
    ValueError
        If both engines are given, an option is unknown, or no machine is large enough.
    ConnectionError
        If no Ray cluster answers.
    ModuleNotFoundError
        If the engine is not installed.
    """
    ray, slurm = options["ray"], options["slurm"]
    if ray and slurm:
        raise ValueError("--ray and --slurm: choose one of them.")
    if (ray or slurm) and n_processes() > 1:
        raise ValueError("--ray and --slurm start processes themselves: no torchrun.")
    resources = _resources(options["resources"])
    if ray:
        with ray_cluster(str(ray)) as module:
            yield _RayEngine(module, resources)
    elif slurm:
        with _SlurmEngine(slurm, resources, folder) as engine:
            yield engine
    else:
        yield None


def _resources(given: Mapping[str, float] | None) -> dict[str, Any]:
    given = given or {}
    if not isinstance(given, Mapping) or set(given) - set(RESOURCES):
        raise ValueError(
            f"--resources: expected a mapping with {', '.join(RESOURCES)}, found "
            f'{given!r}. Example: --resources "{{num_gpus: 1, num_cpus: 4}}"'
        )
    for name, value in given.items():
        if not isinstance(value, int | float) or value < (name == "num_cpus"):
            raise ValueError(f"--resources: {name} is {value!r}; expected a number.")
    return RESOURCES | dict(given)


class _RayEngine:
    """Steps as Ray tasks: Ray places them, and retries those whose worker is lost."""

    def __init__(self, ray: ModuleType, resources: Mapping[str, Any]) -> None:
        self._ray = ray
        nodes = [n["Resources"] for n in ray.nodes() if n["Alive"]]
        n_gpus = resources["num_gpus"]
        if n_gpus is None:
            n_gpus = int(any(node.get("GPU") for node in nodes))
        needed = {"CPU": resources["num_cpus"], "GPU": n_gpus}
        if resources["memory_gb"]:
            needed["memory"] = resources["memory_gb"] * 1e9
        _check_room(needed, nodes)
        self._n_threads = max(1, int(resources["num_cpus"]))
        self._run = ray.remote(run_step).options(
            num_cpus=needed["CPU"],
            num_gpus=needed["GPU"],
            memory=needed.get("memory"),
            max_retries=RETRIES,
        )
        self._running: dict[Any, Step] = {}

    def submit(self, step: Step) -> None:
        task = self._run.remote(replace(step, n_threads=self._n_threads))
        self._running[task] = step

    def wait(self) -> tuple[Step, Outcome]:
        (done,), _ = self._ray.wait(list(self._running))
        step = self._running.pop(done)
        try:
            return step, self._ray.get(done)
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().partition("\n")[0]
            raise ChildProcessError(
                f"{step.name}: its worker was lost {RETRIES + 1} times ({reason}). "
                f"The same command resumes; see --resources."
            ) from error


def _check_room(needed: Mapping[str, float], nodes: list[Mapping[str, float]]) -> None:
    """Raise ValueError if no machine has room for a step: Ray would wait for one."""
    for node in nodes:
        if all(node.get(name, 0) >= amount for name, amount in needed.items()):
            return
    wanted = ", ".join(f"{amount:g} {name}" for name, amount in needed.items())
    there = "; ".join(
        ", ".join(f"{node.get(name, 0):g} {name}" for name in needed) for node in nodes
    )
    raise ValueError(
        f"--resources: a step needs {wanted}, and no machine has that much. They have "
        f"{there or 'nothing'} (memory in bytes)."
    )


class _ResumingStep:
    """What a Slurm job runs; submitted again when its time is over."""

    def __call__(self, step: Step) -> Outcome:
        return run_step(step)

    def checkpoint(self, step: Step) -> Any:
        """Return what the next job runs, as submitit asks for it."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, step)


class _SlurmEngine:
    """Steps as jobs of a Slurm cluster, through submitit."""

    def __init__(
        self, options: Mapping[str, Any], resources: Mapping[str, Any], folder: Path
    ) -> None:
        check_installed("--slurm", ["submitit"], "slurm")
        import submitit

        options = _slurm_options(options)
        cluster = options.pop("cluster")
        if cluster == "slurm" and not shutil.which("sbatch"):
            raise ValueError("--slurm: there is no command sbatch on this machine.")
        self._poll_s = _POLL_S[cluster]
        timeouts = {f"{cluster}_max_num_timeout": _TIMEOUTS}
        self._executor = submitit.AutoExecutor(
            folder / "%j", cluster=cluster, **timeouts
        )
        n_gpus, memory_gb = resources["num_gpus"], resources["memory_gb"]
        self._executor.update_parameters(
            name="ser_table",
            timeout_min=options.pop("time_min"),
            cpus_per_task=int(resources["num_cpus"]),
            gpus_per_node=1 if n_gpus is None else int(n_gpus),
            **({"mem_gb": memory_gb} if memory_gb else {}),
            **{f"slurm_{name}": value for name, value in options.items()},
        )
        self._n_threads = int(resources["num_cpus"])
        self._running: dict[Any, Step] = {}

    def __enter__(self) -> "_SlurmEngine":
        return self

    def __exit__(self, *_: object) -> None:
        for job in self._running:
            job.cancel()

    def submit(self, step: Step) -> None:
        work = replace(step, n_threads=self._n_threads)
        self._running[self._executor.submit(_ResumingStep(), work)] = step

    def wait(self) -> tuple[Step, Outcome]:
        from submitit.core.utils import FailedJobError, UncompletedJobError
        from submitit.helpers import as_completed

        job = next(as_completed(list(self._running), poll_frequency=self._poll_s))
        step = self._running.pop(job)
        try:
            return step, job.result()
        except (UncompletedJobError, FailedJobError) as error:
            raise ChildProcessError(
                f"{step.name}: job {job.job_id} ended without a result; its log is "
                f"{job.paths.stderr}. The same command resumes."
            ) from error


def _slurm_options(given: Any) -> dict[str, Any]:
    """Check the value of ``--slurm``."""
    example = 'Example: --slurm "{partition: gpu, time_min: 240}"'
    if not isinstance(given, Mapping) or set(given) - set(SLURM_OPTIONS):
        raise ValueError(
            f"--slurm: expected a mapping with {', '.join(SLURM_OPTIONS)}; found "
            f"{given!r}. {example}"
        )
    options = {"cluster": "slurm"} | dict(given)
    if options["cluster"] not in _POLL_S:
        raise ValueError(
            f"--slurm: cluster is {options['cluster']!r}; expected slurm, or local for "
            f"processes of this machine, to try a command."
        )
    time_min = options.get("time_min")
    if not isinstance(time_min, int | float) or time_min <= 0:
        raise ValueError(
            f"--slurm: time_min is {time_min!r}; expected minutes, after which a job "
            f"goes on in a new one. {example}"
        )
    return options
