"""The service: what is sent to it, what it answers, and what it refuses."""

import io
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import soundfile
from predict_runner import rows_of, run
from stub_recognizer import RATE_HZ, square_wave, write_wave

pytest.importorskip("fastapi", reason="needs the extra serve")
from running_service import running_service


def wav_bytes(*pieces) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, square_wave(*pieces), RATE_HZ, format="WAV")
    return file.getvalue()


LOUD = wav_bytes((1, 0.75))
PART = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'


@pytest.fixture(scope="module")
def service():
    with running_service(max_upload_mb=1, max_duration_s=20, max_files=3) as service:
        yield service


# ---- what is answered


def test_a_recording_gets_the_row_of_predict(service, tmp_path):
    path = write_wave(tmp_path / "speech.wav", (1, 0.75))
    _, out, _ = run(path)
    (expected,) = rows_of(out)
    answer = service.post(files=("speech.wav", path.read_bytes()))
    assert answer.status_code == 200
    (row,) = answer.json()
    assert list(row) == list(expected)
    assert row["path"] == "speech.wav"
    assert (row["label"], row["error"]) == ("loud", None)
    for name in ("score", "p_quiet", "p_loud"):
        assert row[name] == float(expected[name])


def test_a_bad_recording_does_not_affect_the_others(service):
    files = [
        ("files", ("notes.wav", b"these are words")),
        ("files", ("speech.wav", LOUD)),
        ("files", ("silence.wav", wav_bytes((1, 0)))),
    ]
    answer = service.client.post("/classify", files=files)
    assert answer.status_code == 200
    notes, speech, silence = answer.json()
    assert speech["p_loud"] == pytest.approx(0.75, abs=1e-4)  # 16 bits
    assert notes["error"].startswith("notes.wav cannot be read as audio")
    assert silence["error"].startswith("silence.wav is silent")
    assert notes["label"] is silence["label"] is None


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "0 bytes"),
        (b"RIFF", "speech.wav cannot be read as audio"),
        (LOUD[:100], "speech.wav is cut off"),
        (wav_bytes((0.05, 0.5)), "lasts 50 ms, expected at least 100 ms"),
        (wav_bytes((21, 0.5)), "lasts 21.0 s, more than --max_duration_s 20"),
    ],
)
def test_if_no_recording_can_be_used_the_answer_is_422(service, content, named):
    answer = service.post(files=("speech.wav", content))
    assert answer.status_code == 422
    assert named in answer.json()[0]["error"]
    assert "/tmp" not in answer.json()[0]["error"]


def test_a_name_is_only_shown(service):
    answer = service.post(files=("../../etc/passwd\r\n", LOUD))
    assert answer.status_code == 200
    assert "\n" not in answer.json()[0]["path"]
    answer = service.post(files=("/etc/passwd", b""))
    assert "0 bytes" in answer.json()[0]["error"]


def test_unsure_answers_are_unknown():
    with running_service(unknown_below=0.8) as service:
        rows = service.post(files=("speech.wav", LOUD)).json()
    assert (rows[0]["label"], round(rows[0]["score"], 2)) == ("unknown", 0.75)


def test_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with running_service() as service:
        for content in (LOUD, b"words", 3 * LOUD):
            service.post(files=("speech.wav", content))
    assert list(tmp_path.iterdir()) == []


def test_its_pages_load_nothing_and_name_every_answer(service):
    page, schema = service.client.get("/docs").text, "/openapi.json"
    assert page == service.client.get("/").text
    for loads in ("<script", "<link", "src=", "http://", "https://", "@import"):
        assert loads not in page
    operation = service.client.get(schema).json()["paths"]["/classify"]["post"]
    assert {"200", "413", "415", "422", "503"} <= operation["responses"].keys()
    for code in operation["responses"]:
        assert code in page


# ---- what is refused


@pytest.mark.parametrize(
    ("content_type", "body", "status", "named"),
    [
        ("", b"abc", 415, "missing"),
        ("audio/wav", LOUD, 415, "audio/wav"),
        ("application/json", b'{"path": "/etc/passwd"}', 415, "application/json"),
        ("application/x-www-form-urlencoded", b"files=a", 415, "urlencoded"),
        ("multipart/form-data", b"abc", 400, "boundary"),
        ("multipart/form-data; boundary=b", b"abc", 400, "nvalid"),
        ("multipart/form-data; boundary=b", b"--b--\r\n", 400, "found 0"),
    ],
)
def test_a_request_that_is_no_form_of_files_is_refused(
    service, content_type, body, status, named
):
    headers = {"Content-Type": content_type} if content_type else {}
    answer = service.client.post("/classify", content=body, headers=headers)
    assert answer.status_code == status
    assert named in answer.json()["detail"]


@pytest.mark.parametrize("name", ["path", "url", "files"])
def test_paths_and_addresses_are_not_read(service, name):
    answer = service.client.post(
        "/classify", data={name: "/etc/passwd"}, files={"other": b""}
    )
    assert answer.status_code == 400
    assert "Paths and addresses are not read" in answer.json()["detail"]


def test_too_many_files_are_refused(service):
    for n_files in (4, 6):
        files = [("files", (f"{i}.wav", LOUD)) for i in range(n_files)]
        answer = service.client.post("/classify", files=files)
        assert answer.status_code == 400
        assert "3" in answer.json()["detail"] or "many" in answer.json()["detail"]


def test_an_upload_that_says_it_is_too_large_is_refused_unread(service):
    head = (
        "POST /classify HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(head.encode())
        answer = b"".join(iter(lambda: client.recv(10_000), b"")).decode()
    assert answer.startswith("HTTP/1.1 413")
    assert "1 MB" in answer
    service.wait_for_busy(0)


def test_an_upload_without_a_length_is_stopped_at_the_limit(service):
    n_sent = 0

    def two_gigabytes():
        nonlocal n_sent
        yield PART
        for _ in range(2000):
            n_sent += 1_000_000
            yield bytes(1_000_000)

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = service.client.post("/classify", content=two_gigabytes(), headers=headers)
    assert answer.status_code == 413
    # What arrives in half a second is thrown away, so that the answer is heard.
    assert n_sent < 1_000_000_000
    service.wait_for_busy(0)


# ---- at the same time


def test_a_busy_service_says_so_at_once():
    with running_service(max_concurrency=2) as service, ThreadPoolExecutor() as pool:
        service.recognizer.may_answer.clear()
        waiting = [pool.submit(service.post, files=("a.wav", LOUD)) for _ in range(2)]
        service.wait_for_busy(2)
        answer = service.post(files=("a.wav", LOUD))
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert "2 places" in answer.json()["detail"]
        service.recognizer.may_answer.set()
        assert [future.result().status_code for future in waiting] == [200, 200]
        assert service.post(files=("a.wav", LOUD)).status_code == 200
        service.wait_for_busy(0)


def test_two_hundred_connections_at_once_are_all_answered():
    many = httpx.Limits(max_connections=200)
    with (
        running_service() as service,
        httpx.Client(timeout=60, limits=many) as client,
        ThreadPoolExecutor(200) as pool,
    ):
        together = threading.Barrier(200)

        def post(_):
            together.wait()
            files = {"files": ("a.wav", LOUD)}
            return client.post(f"{service.url}/classify", files=files)

        answers = list(pool.map(post, range(200)))
        service.wait_for_busy(0)
    assert {answer.status_code for answer in answers} <= {200, 503}
    rows = [answer.json() for answer in answers if answer.status_code == 200]
    assert rows
    assert all(row == rows[0] for row in rows)


def test_an_answer_that_takes_too_long_keeps_its_place_until_it_is_there():
    with running_service(timeout_s=0.3, max_concurrency=1) as service:
        service.recognizer.may_answer.clear()
        answer = service.post(files=("a.wav", LOUD))
        assert answer.status_code == 504
        assert "0.3 s" in answer.json()["detail"]
        assert service.post(files=("a.wav", LOUD)).status_code == 503
        service.recognizer.may_answer.set()
        service.wait_for_busy(0)
        assert service.post(files=("a.wav", LOUD)).status_code == 200


HALF = (
    b"POST /classify HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
)


def test_a_stuck_upload_frees_its_place():
    with running_service(idle_s=0.3, max_concurrency=1) as service:
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(HALF)
            service.wait_for_busy(1)
            answer = b"".join(iter(lambda: client.recv(10_000), b"")).decode()
        assert answer.startswith("HTTP/1.1 408")
        assert "0.3 s" in answer
        service.wait_for_busy(0)


def test_an_upload_that_trickles_frees_its_place():
    with running_service(idle_s=5, timeout_s=0.5, max_concurrency=1) as service:
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(HALF)
            client.settimeout(0.05)
            answer = b""
            for _ in range(200):
                client.sendall(b"C")
                try:
                    answer = client.recv(10_000)
                    break
                except TimeoutError:
                    continue
        assert answer.startswith(b"HTTP/1.1 408")
        service.wait_for_busy(0)


def test_a_cut_connection_frees_its_place(caplog):
    with running_service(max_concurrency=1) as service:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", service.port)) as client:
                client.sendall(HALF)
                service.wait_for_busy(1)
            service.wait_for_busy(0)
        # While it is answered
        service.recognizer.may_answer.clear()
        body = PART + LOUD + b"\r\n--b--\r\n"
        head = HALF.replace(b"1000", str(len(body)).encode()).removesuffix(b"--b\r\n")
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(head + body)
            service.wait_for_busy(1)
        time.sleep(0.1)
        service.recognizer.may_answer.set()
        service.wait_for_busy(0)
    assert [r.message for r in caplog.records if r.levelno >= logging.WARNING] == []
