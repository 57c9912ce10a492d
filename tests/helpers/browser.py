"""The page of ``python -m ser_lib.demo`` in a browser.

    python tests/helpers/browser.py ser_lib/demo/page.png

takes the picture of the README.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="needs tests/requirements.txt"
)
pytest.importorskip("gradio", reason="needs the extra demo")

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "pretrained" / "examples"
MODEL = ROOT / "pretrained" / "ser_whisper_tiny"
DESKTOP, PHONE = (1280, 960), (390, 844)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)


@contextmanager
def running_page(*command: str, folder: Path | None = None) -> Iterator[str]:
    """Run a command that prints the address of its page; yield the address."""
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, text=True, cwd=folder
    )
    try:
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found, "the page did not start"
        yield found.group().replace("0.0.0.0", "127.0.0.1")
    finally:
        process.terminate()
        out, _ = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, "Stopped.\n")


@contextmanager
def running_browser() -> Iterator:
    """Start Chromium, or skip the test if there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("needs Chromium: bash tests/install_browser.sh")
    with sync_api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=found, args=list(_OPTIONS))


class Tab:
    """The page in a tab, and what it asked for."""

    def __init__(self, browser, address: str, size: tuple[int, int] = DESKTOP) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, accept_downloads=True
        )
        self.page = self._context.new_page()
        self.page.set_default_timeout(180_000)  # the machine may be busy
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)
        self.page.wait_for_selector("#recording input[type=file]", state="attached")

    def __enter__(self) -> "Tab":
        return self

    def __exit__(self, *_) -> None:
        self._context.close()

    def give(self, path: Path) -> None:
        """Upload a file and wait for what is said of it."""
        self._mark()
        if self.page.locator("#recording button[aria-label='Clear']").count():
            self.page.click("#recording button[aria-label='Clear']")
            self.page.wait_for_selector(".ser-empty")
        self.page.set_input_files("#recording input[type=file]", str(path))
        self.wait()

    def _mark(self) -> None:
        mark = "document.querySelectorAll('#result section, #result p.ser-error')"
        self.page.evaluate(f"{mark}.forEach((node) => node.dataset.old = 'old')")

    def act(self, action) -> None:
        """Do something that replaces the result, and wait for the new one."""
        self._mark()
        action()
        self.wait()

    def wait(self) -> None:
        self.page.wait_for_selector(
            ".ser-result:not([data-old]), .ser-error:not([data-old])", timeout=180_000
        )

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def shares(self) -> dict[str, float]:
        """Return label -> probability in percent, as shown."""
        rows = self.page.locator(".ser-bars tr").all_inner_texts()
        pairs = [row.replace("%", "").split() for row in rows]
        return {label: float(share) for label, share in pairs}


def take_picture(path: Path) -> None:
    """Write the picture of the README."""
    command = ["-m", "ser_lib.demo", str(MODEL), "--port", "0"]
    with running_page(*command, folder=ROOT) as address, running_browser() as browser:
        with Tab(browser, address) as tab:
            tab.give(EXAMPLES / "conversation.flac")
            tab.page.wait_for_timeout(1000)  # for the waveform to be drawn
            tab.page.screenshot(path=path)


if __name__ == "__main__":
    take_picture(Path(sys.argv[1]))
