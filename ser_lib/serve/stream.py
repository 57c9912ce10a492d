"""``WS /stream``: blocks of samples in, windows out.

The client sends a text message with the settings (``StreamSettings``, such as
``{"sample_rate_hz": 16000}``), then binary messages with samples (little-endian, the
channels of a moment side by side), then the text message ``{"end": true}``. The service
sends a text message for each window as soon as its samples are there, and a last one:
``{"end": true, "n_windows": 9, "duration_s": 25.3}``, or ``{"error": "..."}``.
"""

import asyncio
import json
import time
from collections.abc import Coroutine, Iterator
from typing import Literal

import numpy as np
from fastapi import WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ser_lib.inference import (
    Recognizer,
    Window,
    answer_row,
    answers_by_task,
    sure_label,
)
from ser_lib.serve.limits import Limits, Slot

# Codes of RFC 6455, section 7.4.1, and of IANA's registry
_NORMAL, _POLICY, TRY_AGAIN_LATER = 1000, 1008, 1013
_TYPES = {"int16": "<i2", "float32": "<f4"}


class StreamSettings(BaseModel):
    """The first message of a stream.

    Arguments
    ---------
    sample_rate_hz : int
        Sampling rate of the blocks.
    sample_format : str
        ``int16``, or ``float32`` with full scale 1.
    channels : int
        Channels, which are averaged.
    window_s, hop_s : float
        Length of a window, and distance between the starts of two.
    unknown_below : float | None
        The label of a less probable answer is ``unknown``; None takes the service's.
    """

    # The limits keep one stream from taking the memory or the time of all others.
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    sample_rate_hz: int = Field(ge=1000, le=192_000)
    sample_format: Literal["int16", "float32"] = "int16"
    channels: int = Field(1, ge=1, le=8)
    window_s: float = Field(4.0, gt=0, le=30)
    hop_s: float = Field(1.0, ge=0.1)
    unknown_below: float | None = Field(None, gt=0, lt=1)


class _RefusedError(ValueError):
    """What the client sent cannot be used."""


class Stream:
    """One stream, which works in the thread of a slot and talks in the event loop.

    Arguments
    ---------
    websocket : WebSocket
        An accepted connection.
    recognizer : Recognizer
        The model.
    limits : Limits
        Of its length, and of the time in which the client does nothing.
    unknown_below : float | None
        See ``StreamSettings``.
    """

    def __init__(
        self,
        websocket: WebSocket,
        recognizer: Recognizer,
        limits: Limits,
        unknown_below: float | None,
    ) -> None:
        self._websocket, self._recognizer = websocket, recognizer
        self._limits, self._unknown_below = limits, unknown_below
        self._loop = asyncio.get_running_loop()
        self._n_samples = 0
        self._stop_at_s = time.monotonic() + limits.max_stream_s

    async def run(self, slot: Slot) -> None:
        """Answer until the client ends the stream, does nothing, or is gone."""
        try:
            settings = await self._settings()
            await asyncio.wrap_future(slot.start(self._work, settings))
        except WebSocketDisconnect:
            return
        except ValueError as error:  # _RefusedError, or audio that is refused
            await self.end({"error": str(error)}, _POLICY)

    async def end(self, message: dict, code: int) -> None:
        """Send a last message and close the connection."""
        try:
            await self._send(message)
            async with asyncio.timeout(self._limits.idle_s):
                await self._websocket.close(code)
        except (WebSocketDisconnect, RuntimeError, TimeoutError, _RefusedError):
            return  # it is gone, or reads nothing

    # ---- in the thread

    def _work(self, settings: StreamSettings) -> None:
        if settings.unknown_below is None:
            settings.unknown_below = self._unknown_below
        windows = self._recognizer.stream(
            self._blocks(settings),
            settings.sample_rate_hz,
            settings.window_s,
            settings.hop_s,
        )
        n_windows = 0
        for window in windows:
            self._await(self._send(self._row(window, settings.unknown_below)))
            n_windows += 1
        duration_s = round(self._n_samples / settings.sample_rate_hz, 3)
        last = {"end": True, "n_windows": n_windows, "duration_s": duration_s}
        self._await(self.end(last, _NORMAL))

    def _await(self, talk: Coroutine):
        return asyncio.run_coroutine_threadsafe(talk, self._loop).result()

    def _blocks(self, settings: StreamSettings) -> Iterator[np.ndarray]:
        dtype = np.dtype(_TYPES[settings.sample_format])
        frame_bytes = dtype.itemsize * settings.channels
        max_samples = self._limits.max_stream_s * settings.sample_rate_hz
        while (block := self._await(self._block())) is not None:
            if len(block) % frame_bytes:
                raise _RefusedError(
                    f"A block has {len(block)} bytes; expected a multiple of "
                    f"{frame_bytes} ({settings.channels} x {settings.sample_format})."
                )
            samples = np.frombuffer(block, dtype).reshape(-1, settings.channels)
            self._n_samples += len(samples)
            if self._n_samples > max_samples:
                raise _RefusedError(self._too_long())
            yield samples.astype(dtype.newbyteorder("="))

    def _row(self, window: Window, unknown_below: float | None) -> dict:
        row = {
            "start_s": round(window.start_s, 3),
            "end_s": round(window.end_s, 3),
            "label": None,
            "score": None,
        }
        if window.label is None:
            return row
        labels = self._recognizer.labels
        probabilities = [round(p, 6) for p in window.probabilities]
        row["label"] = sure_label(window.label, window.score, unknown_below)
        row["score"] = round(window.score, 6)
        row |= {f"p_{k}": p for k, p in zip(labels, probabilities, strict=True)}
        others = answers_by_task(self._recognizer.tasks, window.others)
        return row | answer_row(others)

    # ---- in the event loop

    async def _settings(self) -> StreamSettings:
        message = await self._receive()
        if message.get("text") is None:
            raise _RefusedError(
                "The first message holds bytes; expected settings as text, such as "
                '{"sample_rate_hz": 16000}.'
            )
        try:
            return StreamSettings.model_validate_json(message["text"])
        except ValidationError as error:
            found = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'the message'}: {e['msg']}"
                for e in error.errors(include_url=False)
            )
            raise _RefusedError(f"The settings are refused: {found}.") from error

    async def _block(self) -> bytes | None:
        """Return the bytes of the next block, or None at the end of the stream."""
        message = await self._receive()
        if message.get("bytes") is not None:
            return message["bytes"]
        if _is_end(message["text"]):
            return None
        raise _RefusedError(
            'A text message is not {"end": true}; expected that, or samples as bytes.'
        )

    async def _receive(self) -> dict:
        left_s = self._stop_at_s - time.monotonic()
        try:
            wait_s = min(self._limits.idle_s, max(left_s, 0))
            message = await asyncio.wait_for(self._websocket.receive(), wait_s)
        except TimeoutError as error:
            idle = f"Nothing was received for {self._limits.idle_s:g} s (--idle_s)."
            is_idle = left_s > self._limits.idle_s
            raise _RefusedError(idle if is_idle else self._too_long()) from error
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        return message

    async def _send(self, message: dict) -> None:
        text = json.dumps(message, allow_nan=False)
        try:
            await asyncio.wait_for(self._websocket.send_text(text), self._limits.idle_s)
        except TimeoutError as error:
            raise _RefusedError("The client does not read its answers.") from error

    def _too_long(self) -> str:
        return (
            f"The stream is longer than {self._limits.max_stream_s:g} s "
            f"(--max_stream_s). Start another."
        )


def _is_end(text: str | None) -> bool:
    try:
        return json.loads(text or "") == {"end": True}
    except ValueError:
        return False
