"""The page in a browser: Chromium, driven by Playwright."""

import csv
import io
import json
import time
from urllib.parse import urlparse

import numpy as np
import pytest
import soundfile

pytest.importorskip("gradio", reason="needs the extra demo")
pytest.importorskip("playwright", reason="needs tests/requirements.txt")
from browser import (
    DESKTOP,
    EXAMPLES,
    MODEL,
    PHONE,
    ROOT,
    Tab,
    running_browser,
    running_page,
)

from ser_lib.inference import FORMATS, EmotionRecognizer

pytestmark = pytest.mark.slow
ANGRY = EXAMPLES / "ravdess_01_angry.flac"
CONVERSATION = EXAMPLES / "conversation.flac"


@pytest.fixture(scope="module")
def recognizer():
    return EmotionRecognizer.from_hparams(MODEL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Temporary files of the page are here."""
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def address(folder):
    limits = ["--max_duration_s", "30", "--max_upload_mb", "3"]
    command = ["-m", "ser_lib.demo", str(MODEL), "--port", "0", *limits]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        with running_page(*command, folder=ROOT) as address:
            yield address
    assert list(folder.glob("ser_lib*")) == []


@pytest.fixture(scope="module")
def browser():
    with running_browser() as browser:
        yield browser


@pytest.fixture
def tab(browser, address):
    with Tab(browser, address) as tab:
        yield tab


def write_wav(path, seconds, amplitude=0.1):
    samples = amplitude * np.random.default_rng(0).standard_normal(
        round(16000 * seconds)
    )
    soundfile.write(path, samples, 16000)
    return path


# ---- what it shows


def test_an_upload_shows_what_classify_file_says(tab, recognizer):
    tab.give(ANGRY)
    out_prob, score, _, (label,) = recognizer.classify_file(ANGRY)
    assert tab.text(".ser-label").split() == [label, f"{100 * score.item():.0f}", "%"]
    shares = dict(zip(recognizer.labels, out_prob[0].tolist(), strict=True))
    for name, shown in tab.shares().items():
        assert shown == pytest.approx(100 * shares.pop(name), abs=0.051)
    assert not shares
    assert not tab.errors


def test_the_timeline_is_that_of_timeline_file(tab, recognizer):
    tab.give(CONVERSATION)
    expected = recognizer.timeline_file(CONVERSATION, window_s=2, hop_s=0.5)
    segments = tab.page.locator(".ser-segment")
    found = segments.evaluate_all(
        "nodes => nodes.map(n => [n.innerText, n.dataset.start, n.dataset.end])"
    )
    assert [(label, float(start), float(end)) for label, start, end in found] == [
        (segment.label, pytest.approx(segment.start_s), pytest.approx(segment.end_s))
        for segment in expected.segments
    ]


def test_a_segment_is_heard_by_click_and_by_key(tab):
    tab.give(CONVERSATION)
    audio = tab.page.locator(".ser-timeline audio")
    audio.evaluate(
        "node => new Promise(r => node.readyState ? r() : node.onloadeddata = r)"
    )
    assert audio.evaluate("node => node.duration") == pytest.approx(25.1, abs=0.1)
    second = tab.page.locator(".ser-segment").nth(1)
    start, end = (
        float(second.get_attribute(f"data-{name}")) for name in ("start", "end")
    )
    for act in (second.click, lambda: second.press("Enter")):
        act()
        tab.page.wait_for_function(
            "!document.querySelector('.ser-timeline audio').paused"
        )
        assert start <= audio.evaluate("node => node.currentTime") < end
        assert "ser-now" in second.get_attribute("class")
        tab.page.wait_for_function(
            "document.querySelector('.ser-timeline audio').paused"
        )
        assert audio.evaluate("node => node.currentTime") == pytest.approx(end, abs=0.3)


def test_downloads_are_the_files_of_the_command_line(tab, recognizer):
    tab.give(CONVERSATION)
    links = tab.page.locator(".ser-download")
    assert links.count() == len(FORMATS)
    contents = {}
    for i in range(links.count()):
        with tab.page.expect_download() as download:
            links.nth(i).click()
        name = download.value.suggested_filename
        assert name.startswith("conversation.")
        contents[name.rpartition(".")[2]] = download.value.path().read_text()
    rows = list(csv.DictReader(io.StringIO(contents["csv"])))
    timeline = json.loads(contents["json"])
    assert timeline["path"] == "conversation.flac"
    assert (
        len(rows)
        == len(timeline["segments"])
        == tab.page.locator(".ser-segment").count()
    )
    assert rows[0]["label"] == timeline["segments"][0]["label"]


def test_unsure_answers_are_unknown(tab):
    tab.give(CONVERSATION)  # angry with 53 %
    number = tab.page.locator("input[type=number]").first
    number.fill("0.6")
    tab.act(lambda: number.press("Enter"))
    assert tab.text(".ser-label").split()[:5] == [
        "unknown",
        "not",
        "sure",
        "enough:",
        "angry,",
    ]


def test_the_model_is_adapted_to_the_recordings_so_far(tab, recognizer):
    files = [EXAMPLES / f"nemo_EB0_{name}.flac" for name in ("angry", "neutral", "sad")]
    for n_given, path in enumerate(files, start=1):
        tab.give(path)
        assert f"{n_given} recording" in tab.text("#adaptation")
    before = tab.shares()
    tab.act(lambda: tab.page.click("button:has-text('Adapt to 3 recordings')"))
    assert "adapted to 3 recordings" in tab.text(".ser-remark")
    out_prob, *_ = recognizer.adapt(files).classify_file(files[-1])
    expected = [100 * p for p in out_prob[0].tolist()]
    assert list(tab.shares().values()) == pytest.approx(expected, abs=0.051)
    tab.act(lambda: tab.page.click("button:has-text('Undo')"))
    assert tab.shares() == before


def test_an_example_is_analysed(tab):
    tab.act(lambda: tab.page.click("button:has-text('ravdess 16 happy')"))
    assert tab.text(".ser-label").startswith("happy")


def test_a_recording_of_the_microphone_is_analysed(tab):
    tab.page.click("#recording button[aria-label='Record audio']")
    tab.page.click("#recording button:has-text('Record')")
    tab.page.wait_for_timeout(2500)
    tab.act(lambda: tab.page.click("#recording button:has-text('Stop')"))
    # Chromium's microphone beeps once a second.
    assert sum(tab.shares().values()) == pytest.approx(100, abs=0.5)
    assert tab.page.locator(".ser-segment").count() > 0


# ---- what it refuses


def test_a_text_renamed_is_refused_by_a_sentence(tab, tmp_path):
    path = tmp_path / "my notes.wav"
    path.write_text("These are words.")
    tab.give(path)
    assert tab.text(".ser-error").startswith("my notes.wav cannot be read as audio")
    tab.give(ANGRY)  # and the page goes on
    assert tab.text(".ser-label").startswith("angry")


@pytest.mark.parametrize(
    ("seconds", "amplitude", "named"),
    [
        (2, 0, "is silent"),
        (0.05, 0.1, "too short"),
        (31, 0.1, "lasts 31.0 s, more than --max_duration_s 30"),
    ],
)
def test_unusable_audio_is_refused_by_a_sentence(
    tab, tmp_path, seconds, amplitude, named
):
    tab.give(write_wav(tmp_path / "speech.wav", seconds, amplitude))
    assert named in tab.text(".ser-error")
    assert "speech.wav" in tab.text(".ser-error")
    assert "/tmp" not in tab.text(".ser-error")


def test_a_file_beyond_the_limit_is_refused(tab, tmp_path):
    path = write_wav(tmp_path / "speech.wav", 120)  # 3.8 MB
    tab.page.set_input_files("#recording input[type=file]", str(path))
    tab.page.wait_for_selector("text=/maximum allowed size/i")
    assert tab.page.locator(".ser-result").count() == 0


def test_files_of_the_machine_are_not_read(address, tab):
    """A client that is no browser asks for a path, and for an address."""
    import httpx

    config = httpx.get(f"{address}config").json()
    dependencies = config["dependencies"]
    show = next(d["id"] for d in dependencies if d["targets"][0][1] == "change")
    for path in ("/etc/passwd", str(ANGRY), "http://127.0.0.1:1/a.wav"):
        data = {"path": path, "meta": {"_type": "gradio.FileData"}}
        body = {"data": [data, 0, 2], "fn_index": show, "session_hash": "abc"}
        joined = httpx.post(f"{address}gradio_api/queue/join", json=body)
        assert joined.status_code in (200, 400, 403, 404, 422)
        answer = ""
        if joined.status_code == 200:
            answer = httpx.get(
                f"{address}gradio_api/queue/data?session_hash=abc", timeout=120
            ).text
            assert '"success":false' in answer
            assert path.startswith("/") or "is not a recording that was up" in answer
        assert "root:" not in answer
        assert httpx.get(f"{address}gradio_api/file={path}").status_code in (403, 404)


# ---- how it looks, and what it leaves


def test_nothing_but_this_machine_is_asked(tab):
    tab.give(CONVERSATION)
    hosts = {urlparse(url).hostname for url in tab.requests if url.startswith("http")}
    assert hosts == {"127.0.0.1"}


def test_a_phone_shows_all_of_it_without_scrolling_sideways(browser, address):
    with Tab(browser, address, PHONE) as tab:
        tab.give(CONVERSATION)
        width = tab.page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE[0]
        box = tab.page.locator(".ser-timeline").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_it_can_be_read_and_used_by_everybody(browser, address, scheme, size):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    with Tab(browser, f"{address}?__theme={scheme}", size) as tab:
        tab.give(CONVERSATION)
        for _ in range(20):
            found = axe.Axe().run(tab.page).response["violations"]
            if not found:
                break
            tab.page.wait_for_timeout(1000)  # what is still fading in has no contrast
    ours = [
        (violation["id"], node["html"][:200])
        for violation in found
        for node in violation["nodes"]
    ]
    assert ours == []


def test_closing_the_tab_deletes_what_was_given(browser, address, folder, tmp_path):
    def files():
        return {path.name for path in folder.rglob("*") if path.is_file()}

    def wait_for(wanted):
        for _ in range(100):
            if wanted():
                return
            time.sleep(0.2)

    wait_for(lambda: not list(folder.rglob("sounds/*/*")))  # of the tabs before
    before = files()
    with Tab(browser, address) as tab:
        tab.give(write_wav(tmp_path / "secret.wav", 2))
        assert "secret.wav" in files()
        bad = tmp_path / "words.wav"
        bad.write_text("words")
        tab.give(bad)
        tab.give(CONVERSATION)
        tab.page.goto("about:blank")
        wait_for(lambda: files() == before)
    assert files() == before
