"""``python -m ser_lib.serve``: how it starts and stops."""

import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import pytest
from stub_recognizer import RATE_HZ, square_wave

pytest.importorskip("fastapi", reason="needs the extra serve")
import httpx
from running_service import Service
from test_service import LOUD
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from ser_lib.serve import __main__ as serve
from ser_lib.utils.command import run_command

WAITING = Path(__file__).parent / "helpers" / "waiting_service.py"


def start(file: Path, *options: str) -> tuple[subprocess.Popen, Service]:
    command = [sys.executable, str(WAITING), str(file), "MODEL", "--port", "0"]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    port = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline()).group(1)
    return process, Service(int(port), None)


def failure_of(*arguments: str, capsys) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        run_command(serve.main, arguments=arguments)
    return stopped.value.code, capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_when_what_runs_is_finished(tmp_path, number):
    may_answer = tmp_path / "may answer"
    process, service = start(may_answer)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(service.post, files=("a.wav", LOUD))
        service.wait_for_busy(1)
        stream = connect(service.stream_url, legacy=True)
        stream.send(f'{{"sample_rate_hz": {RATE_HZ}}}')
        process.send_signal(number)
        # It takes no more requests.
        with pytest.raises(ConnectionClosed):
            stream.recv(timeout=20)
        with pytest.raises(httpx.TransportError):
            for _ in range(1000):
                httpx.get(f"{service.url}/health")
        assert not waiting.done()
        may_answer.touch()
        answer = waiting.result()
    assert (answer.status_code, answer.json()[0]["label"]) == (200, "loud")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "Stopped.\n", "")


@pytest.mark.slow
def test_a_second_ctrl_c_stops_it_at_once(tmp_path):
    process, service = start(tmp_path / "never")
    client = connect(service.stream_url, legacy=True)
    client.send(f'{{"sample_rate_hz": {RATE_HZ}}}')
    client.send(square_wave((1, 0.5)).astype("<i2").tobytes())
    service.wait_for_busy(1)
    process.send_signal(signal.SIGINT)
    with pytest.raises(ConnectionClosed):
        client.recv(timeout=20)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_a_port_in_use_is_named(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, message = failure_of("MODEL", "--port", port, capsys=capsys)
    assert code == 2
    assert f"127.0.0.1, port {port}" in message
    code, message = failure_of("MODEL", "--port", "99999", capsys=capsys)
    assert (code, "99999" in message) == (2, True)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--max_concurrency", "0"], "invalid positive int value: '0'"),
        (["--timeout_s", "nan"], "invalid positive float value: 'nan'"),
        (["--unknown_below", "2"], "invalid share: '2'"),
        (["--port", "http"], "invalid int value: 'http'"),
    ],
)
def test_wrong_usage_is_refused(options, named, capsys):
    code, message = failure_of("MODEL", *options, capsys=capsys)
    assert (code, named in message) == (2, True)


@pytest.mark.slow
def test_a_missing_model_is_named(capsys, tmp_path):
    model = str(tmp_path / "no model")
    code, message = failure_of(model, "--port", "0", capsys=capsys)
    assert (code, model in message) == (2, True)


def test_a_missing_package_is_named_with_what_to_install(capsys):
    with patch.object(serve, "NEEDED", ("fastapi", "no_such_package")):
        code, message = failure_of("MODEL", capsys=capsys)
    assert code == 2
    assert "no_such_package" in message
    assert "pip install fastapi==" in message
