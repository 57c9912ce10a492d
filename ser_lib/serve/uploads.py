"""Receive the recordings of a request, within limits that hold while they arrive."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from fastapi import HTTPException, Request
from starlette.datastructures import FormData, UploadFile
from starlette.types import Message, Receive

from ser_lib.predict import Recording
from ser_lib.serve.limits import Limits
from ser_lib.utils.file_names import on_one_line, printable

FIELD = "files"
_MAX_NAME = 255
_BYTES_PER_MB = 1_000_000


async def receive_files(request: Request, limits: Limits) -> list[UploadFile]:
    """Read the body of a request.

    Arguments
    ---------
    request : Request
        A form (multipart/form-data) with the recordings in the field ``files``.
    limits : Limits
        Of its size, its files, and its time.

    Returns
    -------
    list[UploadFile]
        Open files, which have no name on the disk and are gone when they are closed.

    Raises
    ------
    HTTPException
        415 or 400 if it is not such a form, 413 if it is too large, 408 if it stops or
        takes too long.
    starlette.requests.ClientDisconnect
        If the connection is cut.
    """
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        raise HTTPException(
            415,
            f"The content type is {on_one_line(content_type[:100]) or 'missing'!r}; "
            f"expected multipart/form-data with recordings in the field {FIELD}.",
        )
    max_bytes = limits.max_upload_mb * _BYTES_PER_MB
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise _too_large(limits)
    request._receive = _limited(request.receive, limits)
    try:
        async with asyncio.timeout(limits.timeout_s):
            # One more file than is allowed, to tell that there are too many.
            form = await request.form(max_files=limits.max_files + 1, max_fields=1)
    except TimeoutError as error:
        raise HTTPException(
            408, f"The request did not arrive within {limits.timeout_s:g} s."
        ) from error
    return _files_of(form, limits)


def _limited(receive: Receive, limits: Limits) -> Receive:
    """Wrap ``receive`` so that it stops at too many bytes, and when none arrive."""
    n_bytes = 0

    async def limited() -> Message:
        nonlocal n_bytes
        try:
            message = await asyncio.wait_for(receive(), limits.idle_s)
        except TimeoutError as error:
            raise HTTPException(
                408, f"Nothing was received for {limits.idle_s:g} s."
            ) from error
        n_bytes += len(message.get("body", b""))
        if n_bytes > limits.max_upload_mb * _BYTES_PER_MB:
            raise _too_large(limits)
        return message

    return limited


def _files_of(form: FormData, limits: Limits) -> list[UploadFile]:
    for name, value in form.multi_items():
        if name != FIELD or not isinstance(value, UploadFile):
            kind = "a file" if isinstance(value, UploadFile) else "text"
            raise HTTPException(
                400,
                f"The field {on_one_line(name[:100])!r} holds {kind}; expected only "
                f"files, in the field {FIELD}. Paths and addresses are not read.",
            )
    files = form.getlist(FIELD)
    if not 1 <= len(files) <= limits.max_files:
        found = len(files) if len(files) <= limits.max_files else "more"
        raise HTTPException(
            400,
            f"Expected 1 to {limits.max_files} files in the field {FIELD}; found "
            f"{found}.",
        )
    return files


def _too_large(limits: Limits) -> HTTPException:
    return HTTPException(
        413,
        f"The request is larger than {limits.max_upload_mb:g} MB (--max_upload_mb). "
        f"Send fewer recordings at a time, or compress them (FLAC, MP3).",
    )


def write_recordings(files: Sequence[UploadFile], folder: Path) -> list[Recording]:
    """Copy uploads to files whose names are numbers; the sent names are only shown."""
    recordings = []
    for i, upload in enumerate(files):
        path = folder / str(i)
        with upload.file, open(path, "wb") as file:
            shutil.copyfileobj(upload.file, file)
        shown = on_one_line(printable(upload.filename or ""))[:_MAX_NAME]
        name = shown or f"recording {i + 1}"
        recordings.append(Recording(name, path, path.name))
    return recordings
