"""Predictions of a model in each condition, kept in the output folder."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ser_lib.audio import check_duration, file_status
from ser_lib.corpora import Utterance
from ser_lib.evaluation import prediction_table, read_predictions, write_predictions
from ser_lib.inference import Recognizer, classify_wavs, run_in_parallel
from ser_lib.stress.conditions import (
    FASTEST,
    VERSION,
    Condition,
    conditions_for,
    draw_voices,
    generator_of,
)
from ser_lib.stress.table import Table
from ser_lib.utils.command import raise_if_interrupted
from ser_lib.utils.digests import digest
from ser_lib.utils.files import UNFINISHED, atomic_path
from ser_lib.utils.listing import first_few
from ser_lib.utils.progress import Progress
from ser_lib.utils.strict_json import read_json

STATE_FILE = "stress.json"
LOCK_FILE = ".lock"
_BATCH_FILES, _BATCH_S = 16, 160.0


def check_folder(folder: Path) -> None:
    """Refuse an output folder that holds something else.

    Raises
    ------
    ValueError
        If it is a file, or holds files and no ``stress.json``.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder} is a file; expected a folder.")
    if not folder.exists() or (folder / STATE_FILE).is_file():
        return
    names = sorted(path.name for path in folder.iterdir())
    others = [n for n in names if n != LOCK_FILE and not n.startswith(UNFINISHED)]
    if others:
        raise ValueError(
            f"{folder} holds other files ({first_few(others)}) and no {STATE_FILE}: it "
            f"is not the folder of a stress report. Choose another --out."
        )


def check_members(table: Table, recognizer: Recognizer, path: Path) -> None:
    """Refuse a table that names a fold which the model does not have.

    Raises
    ------
    ValueError
        With the first utterance of such a fold.
    """
    known = recognizer.model_info["members"]
    for name, member in table.members.items():
        if member not in known:
            raise ValueError(
                f"{path}: {name} is to be classified by {member}, but the model has "
                f"{', '.join(known)}. Export the run with --ensemble."
            )


class Finished:
    """The finished conditions in an output folder, each under a key.

    Arguments
    ---------
    folder : Path
        The output folder.
    model : str
        A digest of the model.

    Raises
    ------
    ValueError
        If the folder holds the report of another model.
    """

    def __init__(self, folder: Path, model: str) -> None:
        self._folder, self._state = folder, {"model": model, "conditions": {}}
        path = folder / STATE_FILE
        if path.is_file():
            state = read_json(path)
            if not _is_state(state):
                raise ValueError(f"{path} is damaged. Choose another --out.")
            if state["model"] != model:
                raise ValueError(
                    f"{folder} holds the stress report of another model. Choose "
                    f"another --out, or remove it to start again."
                )
            self._state = state
        self._write_state()

    def path(self, condition: Condition) -> Path:
        """Return the file with the predictions in a condition."""
        return self._folder / "predictions" / f"{condition.name}.csv"

    def has(self, condition: Condition, key: str) -> bool:
        """Return whether a condition is finished with this key."""
        known = self._state["conditions"].get(condition.name)
        return known == key and self.path(condition).is_file()

    def write(
        self,
        condition: Condition,
        key: str,
        predictions: pd.DataFrame,
        labels: Sequence[str],
    ) -> None:
        """Write the predictions in a condition; then note that it is finished."""
        write_predictions(self.path(condition), predictions, labels)
        self._state["conditions"][condition.name] = key
        self._write_state()

    def _write_state(self) -> None:
        with atomic_path(self._folder / STATE_FILE) as unfinished:
            unfinished.write_text(json.dumps(self._state, indent=1) + "\n")


def _is_state(state: object) -> bool:
    is_state = isinstance(state, dict) and state.keys() == {"model", "conditions"}
    return is_state and isinstance(state["conditions"], dict)


def predict_all(
    recognizer: Recognizer, table: Table, folder: Path
) -> dict[str, pd.DataFrame]:
    """Classify a table in each condition, except those that are finished.

    Arguments
    ---------
    recognizer : Recognizer
        The model.
    table : Table
        The recordings.
    folder : Path
        The output folder, which an interrupted run may have begun.

    Returns
    -------
    dict[str, pd.DataFrame]
        Title of the condition -> its predictions, in the order of the conditions.

    Raises
    ------
    ValueError
        If the folder holds the report of another model, or a recording is refused.
    """
    info = recognizer.model_info
    finished = Finished(folder, digest([info["members"], info["network_sha256"]]))
    audio = _audio_key(table)
    labels, conditions = recognizer.labels, conditions_for(table.utterances)
    keys = {
        c.name: digest([VERSION, c.degrade.__name__, c.parameters, audio])
        for c in conditions
    }
    todo = [c for c in conditions if not finished.has(c, keys[c.name])]
    n_files = len(todo) * len(table.utterances)
    with Progress("classifying", n_files, "files") as bar:
        for condition in todo:
            bar.set_description(condition.title)
            predictions = _predict(recognizer, table, condition, bar)
            finished.write(condition, keys[condition.name], predictions, labels)
    # Read from the files, so that a resumed run ends with the same report.
    return {c.title: read_predictions(finished.path(c), labels) for c in conditions}


def _audio_key(table: Table) -> list:
    """Return what predictions depend on: the rows, and size and time of each file."""
    rows = []
    for u in table.utterances:
        status = file_status(table.data_folder / u.path)
        stamp = [status.st_size, status.st_mtime_ns]
        own = [table.members[u.id]] if table.members else []
        rows.append([u.id, u.path, u.label, u.speaker, *stamp, *own])
    return rows


def _predict(
    recognizer: Recognizer, table: Table, condition: Condition, bar: Progress
) -> pd.DataFrame:
    utterances = table.utterances
    probabilities = np.zeros((len(utterances), len(recognizer.labels)))
    members = np.array([table.members.get(u.id, "") for u in utterances])
    for member in np.unique(members):
        chosen = recognizer.member(member) if member else recognizer
        own = np.flatnonzero(members == member)
        for batch, rows in _classify(chosen, table, own, condition):
            probabilities[own[list(batch)]] = rows.cpu().numpy()
            bar.update(len(batch))
    predictions = prediction_table(
        [u.id for u in utterances], probabilities, recognizer.labels
    )
    predictions.insert(1, "speaker", [u.speaker for u in utterances])
    predictions.insert(2, "label", [u.label for u in utterances])
    return predictions


def _classify(
    recognizer: Recognizer, table: Table, chosen: Sequence[int], condition: Condition
) -> Iterator[tuple[Sequence[int], torch.Tensor]]:
    """Yield batches of positions among the chosen utterances with their rows."""
    utterances = [table.utterances[i] for i in chosen]

    def work(batch: Sequence[int]) -> torch.Tensor:
        own = [utterances[i] for i in batch]
        wavs = [degraded(recognizer, u, table, condition) for u in own]
        rows = classify_wavs(recognizer, wavs, [u.path for u in own])
        return torch.cat([row[0] for row in rows])

    durations_s = [u.duration_s for u in utterances]
    limits = _BATCH_FILES, _BATCH_S
    for batch, rows in run_in_parallel(recognizer, durations_s, work, *limits):
        raise_if_interrupted()
        yield batch, rows


def degraded(
    recognizer: Recognizer, utterance: Utterance, table: Table, condition: Condition
) -> torch.Tensor:
    """Return the input of a model for an utterance in a condition.

    Returns
    -------
    (samples,) torch.Tensor
        The same for an utterance, whatever else is classified and in whatever order.
    """
    rate_hz = recognizer.sample_rate_hz
    samples = _load(recognizer, utterance, table.data_folder)
    generator = generator_of(utterance)
    more: Mapping = {}
    if condition.needs_voices:
        voices = draw_voices(utterance, table.utterances, generator)
        more = {"voices": [_load(recognizer, v, table.data_folder) for v in voices]}
    wav = condition.degrade(samples, rate_hz, generator, **condition.parameters, **more)
    return torch.from_numpy(np.ascontiguousarray(wav))


def _load(recognizer: Recognizer, utterance: Utterance, folder: Path) -> np.ndarray:
    path = folder / utterance.path
    wav = recognizer.load_audio(path)
    name = f"{path}, without the silence that the model trims, at speed {FASTEST},"
    limits = recognizer.sample_rate_hz, name, recognizer.min_duration_s
    check_duration(int(len(wav) / FASTEST), *limits)
    return wav.numpy()
