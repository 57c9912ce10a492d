"""``python -m ser_lib.listen``, with a recording in place of the microphone."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from stub_recognizer import RATE_HZ, StubRecognizer, spans, write_wave

from ser_lib.inference import Windowing, timeline_file
from ser_lib.listen.live import Listener
from ser_lib.listen.sources import Block, Microphone, RecordingSource

PRETRAINED = Path(__file__).parents[1] / "pretrained"
LISTEN = [sys.executable, "-m", "ser_lib.listen", PRETRAINED / "ser_whisper_tiny"]


@pytest.fixture
def recording(tmp_path):
    """2 s quiet, 1 s of silence, 2 s loud."""
    return write_wave(tmp_path / "a call.wav", (2, 0.25), (1, 0), (2, 0.75))


def listener(recording, windowing=None, **options):
    source = RecordingSource(recording, is_paced=False)
    windowing = windowing or Windowing(window_s=1, hop_s=1)
    return Listener(StubRecognizer(), source, windowing, **options)


def test_live_windows_are_those_of_the_recording(recording):
    live = list(listener(recording).windows())
    timeline = timeline_file(StubRecognizer(), recording, window_s=1, hop_s=1)
    assert live == timeline.windows
    assert [window.label for window in live] == ["quiet"] * 2 + [None] + ["loud"] * 2


def test_unsure_windows_are_unknown(recording):
    windowing = Windowing(window_s=1, hop_s=1, unknown_below=0.8)
    live = list(listener(recording, windowing).windows())
    assert live[0].label == "unknown" and live[0].score == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(2, [(0, 1), (1, 2)]), (1.52, [(0, 1), (1, 1.52)])]
)
def test_listening_ends_after_some_seconds(recording, seconds, expected):
    live = list(listener(recording, seconds=seconds).windows())
    assert spans(live) == expected


class ThreeBlocks:
    """Blocks of 0.6 s, the last sample of which was heard 0.1, 0.2 and 0.3 s ago."""

    name, sample_rate_hz = "blocks", RATE_HZ

    def blocks(self):
        samples = np.tile([0.5, -0.5], 300).astype(np.float32)
        for ago_s in (0.1, 0.2, 0.3):
            yield Block(samples, time.monotonic() - ago_s)


def test_latency_counts_from_the_last_sample_of_a_window():
    windowing = Windowing(window_s=1, hop_s=0.5)
    live = Listener(StubRecognizer(), ThreeBlocks(), windowing)
    assert spans(live.windows()) == [(0, 1), (0.5, 1.5), (1, 1.8)]
    # They end 0.2, 0.3 and 0 s before the last sample of the second or third block,
    # and the computer needs some time.
    least_s = np.array([0.2 + 0.2, 0.3 + 0.3, 0.3 + 0])
    later_s = np.array(live.latencies_s) - least_s
    assert (later_s > 0).all() and (later_s < 5).all()
    assert re.search(
        r"median \d+ ms, 95 % within \d+ ms \(3 windows\)", live.latency_text()
    )


def test_windows_of_silence_have_no_latency(tmp_path):
    silence = write_wave(tmp_path / "a.wav", (2, 0))
    live = listener(silence)
    assert [window.label for window in live.windows()] == [None, None]
    assert live.latency_text() == "No window with sound was complete."


def test_a_paced_recording_is_heard_at_its_own_speed(tmp_path):
    path = write_wave(tmp_path / "a.wav", (0.5, 0.25))
    start_s = time.monotonic()
    heard_at_s = [
        block.heard_at_s - start_s for block in RecordingSource(path).blocks()
    ]
    assert np.diff(heard_at_s) == pytest.approx(0.05, abs=1e-6)
    assert time.monotonic() - start_s >= 0.5


def test_a_microphone_without_sounddevice_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ModuleNotFoundError, match="install sounddevice=="):
        Microphone()


def import_sounddevice():
    try:
        return pytest.importorskip("sounddevice", reason="needs sounddevice")
    except OSError as error:
        pytest.skip(f"needs PortAudio: {error}")


def test_a_microphone_that_is_not_there_names_those_that_are():
    import_sounddevice()
    with pytest.raises(
        ValueError, match="No microphone 'no such' was found. There is:"
    ):
        Microphone("no such")


def run(*arguments, **options):
    command = [*map(str, LISTEN), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seconds", 0], "expected more than 0"),
        (["--seconds", "nan"], "expected more than 0"),
        (["--file", "none.wav"], "none.wav does not exist"),
        (["--file", "a.wav", "--microphone", "x"], "not allowed with"),
        (["--file", PRETRAINED / "README.md"], "cannot be read as audio"),
    ],
)
@pytest.mark.slow
def test_mistakes_end_in_one_line(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2 and message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_ctrl_c_ends_it_with_the_latency_and_success():
    example = PRETRAINED / "examples" / "conversation.flac"
    command = [*map(str, LISTEN), "--file", str(example)]
    command += ["--window_s", "1", "--hop_s", "1"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, env=os.environ) as process:
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert re.fullmatch(r" +1\.0 to +2\.0 s  \w+ +0\.\d\d\n", lines[1])
    assert "Traceback" not in errors and "From the last sample of a window" in errors
