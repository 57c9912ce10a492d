"""Where live sound comes from: a microphone, or a recording at its own speed."""

import queue
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, Protocol

import numpy as np

from ser_lib.audio import open_audio
from ser_lib.utils.packages import check_installed

_BLOCK_S = 0.05
_STOPPED_S = 5.0  # without a sample, a microphone has been unplugged
_MAX_WAITING_S = 60.0  # of sound in memory, if the machine is too slow


class Block(NamedTuple):
    """Samples of shape (samples,), and when the last one was heard.

    The time is that of ``time.monotonic``.
    """

    samples: np.ndarray
    heard_at_s: float


class Source(Protocol):
    """A source of live sound."""

    name: str
    sample_rate_hz: int

    def blocks(self) -> Iterator[Block]:
        """Yield blocks as they are heard."""
        ...


class RecordingSource:
    """Plays a recording as a microphone would hear it.

    Arguments
    ---------
    path : str | Path
        A file that libsndfile reads. Its channels are averaged.
    is_paced : bool
        Whether to wait until each block would have been heard.

    Raises
    ------
    FileNotFoundError, PermissionError, ValueError
        If the file cannot be read, see ``audio.open_audio``.
    """

    def __init__(self, path: str | Path, is_paced: bool = True) -> None:
        self.name, self._path, self._is_paced = str(path), path, is_paced
        with open_audio(path) as audio:
            self.sample_rate_hz = audio.samplerate

    def blocks(self) -> Iterator[Block]:
        """Yield blocks of 50 ms."""
        start_s, n_heard = time.monotonic(), 0
        with open_audio(self._path) as audio:
            n_samples = max(round(_BLOCK_S * audio.samplerate), 1)
            while len(block := audio.read(n_samples, "float32", always_2d=True)):
                n_heard += len(block)
                heard_at_s = time.monotonic()
                if self._is_paced:
                    heard_at_s = start_s + n_heard / audio.samplerate
                    time.sleep(max(heard_at_s - time.monotonic(), 0))
                yield Block(block.mean(axis=1), heard_at_s)


class Microphone:
    """A microphone of this machine, by PortAudio.

    Arguments
    ---------
    device : str | None
        Its number, or a part of its name; None is the default of the system.

    Raises
    ------
    ModuleNotFoundError
        If ``sounddevice`` or PortAudio is not installed.
    ValueError
        If there is no such microphone.
    """

    def __init__(self, device: str | None = None) -> None:
        self._sounddevice = _import_sounddevice()
        self._device = int(device) if device and device.isdecimal() else device
        try:
            found = self._sounddevice.query_devices(self._device, "input")
        except (self._sounddevice.PortAudioError, ValueError) as error:
            wanted = "No microphone" if device is None else f"No microphone {device!r}"
            listed = self._list_devices()
            raise ValueError(f"{wanted} was found. There is: {listed}.") from error
        self.name = found["name"]
        self.sample_rate_hz = int(found["default_samplerate"])

    def blocks(self) -> Iterator[Block]:
        """Yield blocks of about 50 ms, without end.

        Raises
        ------
        OSError
            If no sample comes for five seconds, or none can be recorded.
        ValueError
            If the blocks are used so slowly that a minute of sound waits.
        """
        waiting: queue.SimpleQueue[Block] = queue.SimpleQueue()

        def keep(samples: np.ndarray, n: int, clock: object, status: object) -> None:
            # How long ago the last sample was heard, if the driver knows.
            ago_s = clock.currentTime - clock.inputBufferAdcTime - n / rate_hz
            is_known = clock.inputBufferAdcTime > 0 and 0 <= ago_s < 1
            heard_at_s = time.monotonic() - (ago_s if is_known else 0.0)
            waiting.put(Block(samples[:, 0].copy(), heard_at_s))

        rate_hz = self.sample_rate_hz
        n_samples = round(_BLOCK_S * rate_hz)
        try:
            stream = self._sounddevice.InputStream(
                rate_hz, n_samples, self._device, 1, "float32", callback=keep
            )
        except self._sounddevice.PortAudioError as error:
            raise OSError(f"{self.name} cannot be used: {error}.") from error
        with stream:
            while True:
                try:
                    block = waiting.get(timeout=_STOPPED_S)
                except queue.Empty as error:
                    raise OSError(
                        f"{self.name} has stopped: no sound came for {_STOPPED_S:g} s."
                    ) from error
                if waiting.qsize() * _BLOCK_S > _MAX_WAITING_S:
                    raise ValueError(
                        f"This machine is too slow for these windows: "
                        f"{_MAX_WAITING_S:g} s of sound wait. Choose a longer --hop_s."
                    )
                yield block

    def _list_devices(self) -> str:
        devices = [
            f"{device['index']} {device['name']} ({device['max_input_channels']} in, "
            f"{device['max_output_channels']} out)"
            for device in self._sounddevice.query_devices()
        ]
        return ", ".join(devices) or "no sound device at all"


def _import_sounddevice() -> ModuleType:
    check_installed("A microphone", ["sounddevice"], "listen")
    try:
        import sounddevice
    except OSError as error:
        raise ModuleNotFoundError(
            f"A microphone needs PortAudio ({error}): on Debian, apt install "
            f"libportaudio2"
        ) from error
    return sounddevice
