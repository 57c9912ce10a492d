"""The Parquet output of ``predict --ray``: a folder of parts.

A part is complete or not there. When the same command is started again, it keeps
existing rows except errors and recordings that have changed since (``resume.py``).
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from ser_lib.predict.inputs import Recording
from ser_lib.predict.resume import Progress
from ser_lib.utils.files import UNFINISHED, atomic_path, naming

# A part is written when it has so many rows, or after so many seconds.
_PART_ROWS = 1000
_PART_S = 60.0


class PartsOutput:
    """Rows of recordings in a folder of Parquet files.

    Arguments
    ---------
    out : Path
        The folder.
    settings : Mapping
        Everything that the rows depend on.
    recordings : Sequence[Recording]
        All recordings of the command.

    Raises
    ------
    ValueError
        If it is a file, or a folder that was not written with the same settings.
    """

    def __init__(
        self,
        out: Path,
        settings: Mapping,
        recordings: Sequence[Recording],
    ) -> None:
        if out.exists() and not out.is_dir():
            raise ValueError(f"--out {out} is a file; --ray writes a folder of parts.")
        self._out = out
        self._waiting: list[pd.DataFrame] = []
        self._written_at_s = time.monotonic()
        with naming(out), ExitStack() as opened:
            paths = {recording.name: recording.path for recording in recordings}
            self._progress = Progress(out, f"{out}/.", paths)
            opened.callback(self._progress.close)
            names = [p.name for p in out.iterdir()]
            others = [n for n in names if n != ".lock" and not n.startswith(UNFINISHED)]
            self._progress.check_settings(settings, bool(others))
            self._done = self._keep()
            self._opened = opened.pop_all()

    def is_done(self, recording: Recording) -> bool:
        """Return whether a part has the row of a recording."""
        return recording.name in self._done

    def write(self, rows: pd.DataFrame) -> None:
        """Add rows; they are in a file once there are enough for a part."""
        self._waiting.append(rows)
        is_late = time.monotonic() - self._written_at_s > _PART_S
        if is_late or sum(map(len, self._waiting)) >= _PART_ROWS:
            self._flush()

    def close(self) -> None:
        """Write the last part and release the folder."""
        with self._opened:
            self._flush()

    def _parts(self) -> list[Path]:
        return sorted(self._out.glob("part-*.parquet"))

    def _keep(self) -> set[str]:
        """Remove rows that are to be computed again; return the names of the others."""
        columns = ["path", "error"]
        parts = {path: _read(path, columns) for path in self._parts()}
        done = [p.loc[p["error"].isna(), "path"] for p in parts.values()]
        kept = self._progress.unchanged(set(pd.concat(done)) if done else set())
        for path, part in parts.items():
            keep = part["path"].isin(kept) & part["error"].isna()
            if not keep.any():
                path.unlink()
            elif not keep.all():
                self._write(path, _read(path)[keep])
        return kept

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows = pd.concat(self._waiting, ignore_index=True)
        last = max((int(p.stem.rpartition("-")[2]) for p in self._parts()), default=0)
        self._write(self._out / f"part-{last + 1:06d}.parquet", rows)
        for name in rows["path"]:
            self._progress.note(name)
        self._waiting, self._written_at_s = [], time.monotonic()

    def _write(self, path: Path, rows: pd.DataFrame) -> None:
        with naming(path), atomic_path(path) as unfinished:
            rows.to_parquet(unfinished, index=False)


def _read(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    try:
        return pd.read_parquet(path, columns=columns)
    except (ValueError, OSError) as error:  # pyarrow has subclasses of these
        raise ValueError(
            f"{path} was changed by another program: {error}. Remove it, and its "
            f"recordings are processed again."
        ) from error
