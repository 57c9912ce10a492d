"""Classify any number of recordings with Ray Data (``predict --ray``).

Each worker holds the model and classifies batches of recordings with the functions of
the plain command, so rows have the same values and messages. This process writes the
rows as parts of a Parquet folder (``parts.py``), so that every recording is in it once.
"""

import logging
import os
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pandas as pd
import torch

from ser_lib.inference import Recognizer, load_recognizer
from ser_lib.predict.inputs import Recording
from ser_lib.predict.outputs import result_rows
from ser_lib.predict.parts import PartsOutput
from ser_lib.predict.remote import download, is_remote
from ser_lib.predict.results import find_labels
from ser_lib.predict.rows import columns_of
from ser_lib.utils.command import raise_if_interrupted
from ser_lib.utils.file_names import on_one_line
from ser_lib.utils.progress import Progress
from ser_lib.utils.ray_cluster import ray_cluster

_BLOCK_FILES = 64  # that a worker sorts by length and classifies together
_DOWNLOADS = 8  # at a time
# A recording that kills each worker must not be tried for ever.
_RETRIES = 3


def classify_in_bulk(
    recognizer: Recognizer,
    recordings: Sequence[Recording],
    settings: dict,
    options: Namespace,
) -> tuple[int, int]:
    """Classify recordings on a Ray cluster; write the rows to ``options.out``.

    Arguments
    ---------
    recognizer : Recognizer
        The model, as the workers load it from ``options.model``.
    recordings : Sequence[Recording]
        All recordings of the command.
    settings : dict
        Everything that the rows depend on.

    Returns
    -------
    int
        How many were to be done.
    int
        How many of these failed.

    Raises
    ------
    ValueError
        If ``options.out`` was not written with the same settings.
    ConnectionError
        If no Ray cluster answers, or its workers fail.
    """
    kinds = _kinds(recognizer)
    output = PartsOutput(options.out, settings, recordings)
    with closing(output):
        todo = [r for r in recordings if not output.is_done(r)]
        if not todo:
            return 0, 0
        # Ray would report as an error how its workers are restarted.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        n_failed = 0
        with ray_cluster(options.ray) as ray:
            with Progress("classifying", len(todo), "files") as bar:
                for rows in _rows(ray, todo, options, kinds):
                    raise_if_interrupted()
                    output.write(rows)
                    for error in rows["error"].dropna():
                        n_failed += 1
                        bar.say(f"Failed: {on_one_line(error)}")
                    bar.update(len(rows))
    return len(todo), n_failed


def _kinds(recognizer: Recognizer) -> dict[str, str]:
    """Return the type of each column, for pandas."""
    columns = columns_of(recognizer.labels, False, tasks=recognizer.tasks)
    texts = {"path", "label", "error"} | {t.name for t in recognizer.tasks if t.labels}
    return {name: "string" if name in texts else "float64" for name in columns}


def _rows(
    ray: ModuleType,
    recordings: Sequence[Recording],
    options: Namespace,
    kinds: Mapping[str, str],
) -> Iterator[pd.DataFrame]:
    """Yield the rows of batches of recordings, in the order in which they are ready."""
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # ours shows files
    options = Namespace(**vars(options) | {"model": _absolute(options.model)})
    starts = range(0, len(recordings), _BLOCK_FILES)
    blocks = [_block(recordings[start : start + _BLOCK_FILES]) for start in starts]
    resource = "GPU" if options.device.startswith("cuda") else "CPU"
    n_workers = int(ray.cluster_resources().get(resource, 0))
    if not n_workers:
        raise ValueError(f"--device {options.device}: the Ray cluster has no GPU.")
    classified = ray.data.from_pandas(blocks).map_batches(
        _Classifier,
        fn_constructor_args=(options, kinds),
        batch_size=None,  # a block
        batch_format="pandas",
        compute=ray.data.ActorPoolStrategy(size=min(n_workers, len(blocks))),
        num_cpus=1,
        num_gpus=int(resource == "GPU"),
        max_task_retries=_RETRIES,
    )
    try:
        yield from classified.iter_batches(batch_size=None, batch_format="pandas")
    except ray.exceptions.RayError as error:
        reason = str(error).strip().rpartition("\n")[2]
        raise ConnectionError(
            f"A worker of the Ray cluster failed: {reason} Each machine needs ser_lib, "
            f"the model and the recordings at the same paths. What is done is kept; "
            f"--debug shows the whole error."
        ) from error


class _Classifier:
    """A worker: the model, and one thread."""

    def __init__(self, options: Namespace, kinds: Mapping[str, str]) -> None:
        torch.set_num_threads(1)
        self._options, self._kinds = options, kinds
        self._recognizer = load_recognizer(options.model, options.device)

    def __call__(self, block: pd.DataFrame) -> pd.DataFrame:
        recordings = [
            Recording(row["name"], Path(os.fsdecode(row["path"])), "", row["error"])
            for row in block.to_dict("records")
        ]
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / str(k) for k in range(len(recordings))]
            with ThreadPoolExecutor(_DOWNLOADS) as pool:
                local = list(pool.map(_local, recordings, paths))
            results = find_labels(self._recognizer, local, self._options)
            rows = [row for result in results for row in result_rows(result)]
        return pd.DataFrame(rows).reindex(columns=list(self._kinds)).astype(self._kinds)


def _block(recordings: Sequence[Recording]) -> pd.DataFrame:
    """Return recordings as a table; Arrow has bytes for names that are not UTF-8."""
    # Workers have another current folder.
    paths = [os.fsencode(r.path.absolute()) for r in recordings]
    rows = [(r.name, p, r.error) for r, p in zip(recordings, paths, strict=True)]
    return pd.DataFrame(rows, columns=["name", "path", "error"])


def _absolute(model: str) -> str:
    """Return the path of a model folder, or a hub id as it is."""
    return str(Path(model).absolute()) if Path(model).is_dir() else model


def _local(recording: Recording, path: Path) -> Recording:
    """Copy the recording at an address to a file."""
    if recording.error or not is_remote(recording.name):
        return recording
    try:
        download(recording.name, path)
    except ValueError as error:
        return replace(recording, error=str(error))
    return replace(recording, path=path)
