"""The stream of the service: blocks in, windows out."""

import contextlib
import json
import logging
import time

import numpy as np
import pytest
from stub_recognizer import RATE_HZ, square_wave, windows_of

pytest.importorskip("fastapi", reason="needs the extra serve")
from running_service import running_service
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

SETTINGS = {"sample_rate_hz": RATE_HZ, "window_s": 2, "hop_s": 1}
FLOATS = {**SETTINGS, "sample_format": "float32"}


@pytest.fixture(scope="module")
def service():
    with running_service(max_stream_s=60) as service:
        yield service


def answers_of(service, *messages) -> tuple[list[dict], int]:
    """Send messages; return what is answered, and the code of the end."""
    answers = []
    with connect(service.stream_url) as client:
        with contextlib.suppress(ConnectionClosed):
            for message in messages:
                is_bytes = isinstance(message, bytes | str)
                client.send(message if is_bytes else json.dumps(message))
        with contextlib.suppress(ConnectionClosed):
            while True:
                answers.append(json.loads(client.recv(timeout=20)))
        return answers, client.protocol.close_code


def as_int16(wav: np.ndarray) -> bytes:
    return (wav * 32768).astype("<i2").tobytes()


@pytest.mark.parametrize("block_bytes", [500, 4096, 10**6])
def test_windows_are_those_of_the_recording(service, block_bytes):
    wav = square_wave((1.5, 0.25), (1, 0.75), (2, 0), (1, 0.5))
    data = wav.astype("<f4").tobytes()
    blocks = [data[i : i + block_bytes] for i in range(0, len(data), block_bytes)]
    answers, code = answers_of(service, FLOATS, *blocks, {"end": True})
    *rows, last = answers
    expected = windows_of(wav)
    assert [(r["start_s"], r["label"]) for r in rows] == [
        (window.start_s, window.label) for window in expected
    ]
    for row, window in zip(rows, expected, strict=True):
        if window.label is not None:
            assert row["p_loud"] == pytest.approx(window.probabilities[1], abs=1e-6)
    assert last == {"end": True, "n_windows": len(expected), "duration_s": 5.5}
    assert code == 1000
    service.wait_for_busy(0)


def test_channels_of_16_bits_are_averaged(service):
    wav = np.repeat(square_wave((2, 0.5)), 2)  # both channels are the same
    settings = {**SETTINGS, "channels": 2}
    (row, _), _ = answers_of(service, settings, as_int16(wav), {"end": True})
    assert row["p_loud"] == pytest.approx(0.5, abs=1e-4)


def test_unsure_windows_are_unknown(service):
    data = as_int16(square_wave((2, 0.75)))
    settings = {**SETTINGS, "unknown_below": 0.8}
    (row, _), _ = answers_of(service, settings, data, {"end": True})
    assert row["label"] == "unknown"


def test_a_window_is_answered_before_the_stream_ends(service):
    with connect(service.stream_url) as client:
        client.send(json.dumps(SETTINGS))
        client.send(as_int16(square_wave((2, 0.75))))
        assert json.loads(client.recv(timeout=20))["end_s"] == 2


@pytest.mark.parametrize(
    ("messages", "named"),
    [
        ([b"abc"], "first message holds bytes"),
        (["abc"], "JSON"),
        ([{}], "sample_rate_hz"),
        ([{"sample_rate_hz": 10}], "1000"),
        ([{"sample_rate_hz": 10**9}], "192000"),
        ([{**SETTINGS, "window_s": 1e9}], "window_s"),
        ([{**SETTINGS, "window_s": 0.01, "hop_s": 0.1}], "window_s is 0.01"),
        ([{**SETTINGS, "hop_s": 0.001}], "hop_s"),
        ([{**SETTINGS, "sample_format": "mp3"}], "sample_format"),
        ([{**SETTINGS, "path": "/etc/passwd"}], "path"),
        ([SETTINGS, b"abc"], "3 bytes"),
        ([SETTINGS, "abc"], "text message"),
        ([SETTINGS, {"end": False}], "text message"),
        ([SETTINGS, {"end": True}], "too short"),
        ([FLOATS, np.full(9, np.nan, "<f4").tobytes()], "not finite"),
        ([FLOATS, np.full(9, 3e4, "<f4").tobytes()], "30000"),
        ([SETTINGS, *[as_int16(square_wave((30, 0.5)))] * 3], "longer than 60 s"),
    ],
)
def test_what_cannot_be_used_is_answered_by_a_sentence(service, messages, named):
    answers, code = answers_of(service, *messages)
    assert named in answers[-1]["error"]
    assert code == 1008
    service.wait_for_busy(0)


def test_a_message_beyond_the_limit_closes_the_stream(service):
    answers, code = answers_of(service, SETTINGS, bytes(5_000_000))
    assert answers == []
    assert code in (1009, 1006)  # what still arrives may break the connection
    service.wait_for_busy(0)


def test_a_stuck_stream_frees_its_place():
    with running_service(idle_s=0.3) as service:
        for messages in ([], [SETTINGS], [SETTINGS, as_int16(square_wave((1, 0.5)))]):
            answers, code = answers_of(service, *messages)
            assert "0.3 s" in answers[-1]["error"]
            assert code == 1008
            service.wait_for_busy(0)


def test_a_stream_ends_by_the_clock_even_if_it_trickles():
    with running_service(max_stream_s=0.5) as service:
        with connect(service.stream_url) as client:
            client.send(json.dumps(SETTINGS))
            with pytest.raises(ConnectionClosed):
                for _ in range(500):
                    client.send(b"")
                    time.sleep(0.02)
        service.wait_for_busy(0)


def test_a_cut_stream_frees_its_place(caplog):
    with running_service(max_concurrency=1) as service:
        for n_blocks in (0, 1, 3):
            with connect(service.stream_url) as client:
                client.send(json.dumps(SETTINGS))
                for _ in range(n_blocks):
                    client.send(as_int16(square_wave((1, 0.5))))
                service.wait_for_busy(1)
                client.socket.close()
            service.wait_for_busy(0)
    assert [r.message for r in caplog.records if r.levelno >= logging.WARNING] == []


@pytest.mark.slow
def test_a_client_that_does_not_read_frees_its_place():
    with running_service(idle_s=0.5, max_concurrency=1) as service:
        # Answers that soon fill the buffers of the system
        service.recognizer.labels = ["q" * 20_000, "l" * 20_000]
        client = connect(service.stream_url, max_queue=1, legacy=True)
        settings = {**FLOATS, "window_s": 0.2, "hop_s": 0.1}
        client.send(json.dumps(settings))
        client.socket.settimeout(1)
        with contextlib.suppress(TimeoutError, ConnectionClosed):
            for _ in range(3000):
                client.send(square_wave((10, 0.5)).astype("<f4").tobytes())
        service.wait_for_busy(0)
        client.socket.close()


def test_a_busy_service_says_so_at_once():
    with running_service(max_concurrency=1) as service:
        with connect(service.stream_url) as client:
            client.send(json.dumps(SETTINGS))
            service.wait_for_busy(1)
            (answer,), code = answers_of(service)
            assert "1 places are busy" in answer["error"]
            assert code == 1013
        service.wait_for_busy(0)
        assert answers_of(service, {})[1] == 1008
