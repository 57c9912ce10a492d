"""``POST /classify``: the rows of ``python -m ser_lib.predict`` for what is sent."""

import asyncio
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile

from ser_lib.inference import Recognizer
from ser_lib.predict import columns_of, find_labels
from ser_lib.serve.limits import Limits, Slot
from ser_lib.serve.uploads import receive_files, write_recordings

_BATCH_SIZE = 16


async def classify(
    request: Request,
    slot: Slot,
    recognizer: Recognizer,
    limits: Limits,
    unknown_below: float | None,
) -> JSONResponse:
    """Answer a request.

    Arguments
    ---------
    request : Request
        See ``receive_files``.
    slot : Slot
        Gives the thread to work in.
    recognizer : Recognizer
        The model.
    limits : Limits
        See there.
    unknown_below : float | None
        The label of a less probable answer is ``unknown``.

    Returns
    -------
    JSONResponse
        A list of rows; 422 instead of 200 if no recording could be used.

    Raises
    ------
    HTTPException
        If the request is refused (see ``receive_files``), or 504 if the answer takes
        too long.
    """
    files = await receive_files(request, limits)
    options = Namespace(
        batch_size=_BATCH_SIZE,
        max_duration_s=limits.max_duration_s,
        unknown_below=unknown_below,
    )
    future = asyncio.wrap_future(slot.start(_rows, recognizer, files, options))
    try:
        rows = await asyncio.wait_for(asyncio.shield(future), limits.timeout_s)
    except TimeoutError as error:
        raise HTTPException(
            504, f"There is no answer within {limits.timeout_s:g} s (--timeout_s)."
        ) from error
    all_failed = all(row["error"] for row in rows)
    return JSONResponse(rows, 422 if all_failed else 200)


def _rows(
    recognizer: Recognizer, files: Sequence[UploadFile], options: Namespace
) -> list[dict]:
    """Classify uploads; runs in a thread."""
    columns = columns_of(recognizer.labels, is_timeline=False, tasks=recognizer.tasks)
    rows = []
    with tempfile.TemporaryDirectory(prefix="ser_lib_") as folder:
        recordings = write_recordings(files, Path(folder))
        for result in find_labels(recognizer, recordings, options):
            recording = result.recording
            error = result.error.replace(str(recording.path), recording.name)
            row = result.rows[0] if result.rows else {"path": recording.name}
            row = dict.fromkeys(columns) | row | {"error": error or None}
            rows.append(row)
    return rows
