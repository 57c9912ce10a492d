"""The application: its addresses, and who gets a slot."""

import asyncio
import contextlib
from pathlib import Path

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from ser_lib import __version__
from ser_lib.inference import Recognizer
from ser_lib.serve.classify import classify
from ser_lib.serve.documentation import (
    CLASSIFY_BODY,
    CLASSIFY_RESPONSES,
    documentation_page,
)
from ser_lib.serve.limits import Limits, Slots
from ser_lib.serve.stream import TRY_AGAIN_LATER, Stream

_RETRY_AFTER_S = 1
_LINGER_S = 0.5


def make_app(
    recognizer: Recognizer,
    model: str,
    limits: Limits,
    unknown_below: float | None = None,
) -> FastAPI:
    """Return the service for one model.

    Arguments
    ---------
    recognizer : Recognizer
        The model; requests share it.
    model : str
        Its name or folder; only the last part is shown.
    limits : Limits
        See there.
    unknown_below : float | None
        The label of a less probable answer is ``unknown``.
    """
    slots = Slots(limits.max_concurrency)
    # The pages that FastAPI has for this load scripts from elsewhere.
    app = FastAPI(
        title="Speech emotion recognition",
        version=__version__,
        description=f"Model {Path(model).name}: {', '.join(recognizer.labels)}.",
        docs_url=None,
        redoc_url=None,
    )
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(ClientDisconnect, _forget)

    @app.post(
        "/classify",
        openapi_extra={"requestBody": CLASSIFY_BODY},
        responses=CLASSIFY_RESPONSES,
        response_class=JSONResponse,
    )
    async def classify_files(request: Request) -> Response:
        """Recognise the emotion of each recording."""
        slot = slots.take()
        if slot is None:
            raise HTTPException(503, _busy(slots), {"Retry-After": str(_RETRY_AFTER_S)})
        with slot:
            return await classify(request, slot, recognizer, limits, unknown_below)

    @app.websocket("/stream")
    async def stream(websocket: WebSocket) -> None:
        """Recognise emotions in a stream of samples; see ``stream.py``."""
        await websocket.accept()
        one = Stream(websocket, recognizer, limits, unknown_below)
        slot = slots.take()
        if slot is None:
            await one.end({"error": _busy(slots)}, TRY_AGAIN_LATER)
            return
        with slot:
            await one.run(slot)

    @app.get("/health")
    async def health() -> dict:
        """Say that the service runs, and how much of it is busy."""
        return {
            "status": "ok",
            "model": Path(model).name,
            "labels": list(recognizer.labels),
            "n_busy": slots.n_busy,
            "max_concurrency": slots.n_slots,
        }

    @app.get("/", include_in_schema=False)
    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(documentation_page(app.openapi(), limits))

    return app


def _busy(slots: Slots) -> str:
    return (
        f"All {slots.n_slots} places are busy (--max_concurrency). Try again in "
        f"{_RETRY_AFTER_S} s."
    )


class _Refusal(JSONResponse):
    """An answer to a request that may still be arriving; its rest is thrown away.

    Closing a connection at once would destroy the answer on its way.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, headers = self.status_code, self.raw_headers
        start = {"type": "http.response.start", "status": status, "headers": headers}
        await send(start)
        body = {"type": "http.response.body", "body": self.body}
        await send({**body, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while (await receive()).get("more_body"):
                    pass
        await send({**body, "body": b""})


async def _refuse(_request: Request, error: HTTPException) -> JSONResponse:
    headers = {**(error.headers or {}), "Connection": "close"}
    return _Refusal({"detail": error.detail}, error.status_code, headers)


async def _forget(_request: Request, _error: ClientDisconnect) -> Response:
    return Response(status_code=400)  # nobody reads it
