"""Reports in HTML: the numbers of the Markdown, players, escaping, in a browser."""

import re
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from finished_run import LABELS, write_fold

from ser_lib.corpora import Utterance, write_manifest
from ser_lib.evaluation import write_report
from ser_lib.html_report.__main__ import main, render
from ser_lib.html_report.content import Cell, Page, Section, Table

ROOT = Path(__file__).resolve().parents[1]
NASTY = "<script>alert('1')</script>&\"x\""


@pytest.fixture
def run_folder(tmp_path):
    """Two folds with 4 of 8 correct, and a recording of one of their utterances."""
    folder = tmp_path / "results" / "a run"
    for fold in (1, 2):
        write_fold(folder, fold, "aaas")
        rows = [
            Utterance(f"{fold}-{i}", f"it's/{fold} {i}.wav", "sad", "1", 1.0)
            for i in range(4)
        ]
        write_manifest(folder / f"fold_{fold}" / "test.csv", rows)
    write_report(folder, LABELS, title=f"toy {NASTY}", note="made up")
    recording = tmp_path / "data" / "it's" / "1 0.wav"
    recording.parent.mkdir(parents=True)
    soundfile.write(recording, np.zeros(1600), 16000)
    return folder


def written(folder, *options):
    out = folder / "report" / "report.html"
    data = ["--data_folder", str(folder.parents[1] / "data")]
    main([str(folder), *data, *options])
    return out.read_text(encoding="utf-8")


def rows_of(html):
    """Return the texts of the cells of each row."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    cells = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows)
    return [[unescape(cell) for cell in row] for row in cells]


def test_the_tables_have_the_cells_of_the_markdown_report(run_folder):
    html = rows_of(written(run_folder))
    lines = (run_folder / "report" / "report.md").read_text().splitlines()
    folds = [
        line for line in lines if re.match(r"\| (1|2|mean|sd|pooled) \| \d* ?\|", line)
    ]
    assert len(folds) == 5
    for line in folds:
        assert [cell.strip() for cell in line.split("|")[1:-1]] in html


def test_names_are_escaped(run_folder):
    html = written(run_folder)
    assert "<script>alert" not in html
    assert unescape(re.search(r"<h1>(.*?)</h1>", html)[1]) == f"toy {NASTY}"
    table = Table(NASTY, [NASTY], [[Cell(NASTY, NASTY, title=NASTY)]])
    page = Page(NASTY, NASTY, [Section(NASTY, [NASTY], tables=[table])], notes=[NASTY])
    assert "<script>alert" not in render(page)


def test_the_page_needs_no_network_and_is_small(run_folder):
    html = written(run_folder)
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", html)
    assert "@import" not in html and "url(" not in html
    assert len(html.encode()) < 2_000_000


def test_recordings_are_linked_from_the_page_and_missing_ones_are_counted(run_folder):
    html = written(run_folder)
    (source,) = re.findall(r'<audio[^>]* src="([^"]*)"', html)
    assert unescape(source) == "../../../data/it%27s/1%200.wav"
    assert html.count("no file") == 5  # 6 of 8 are wrong
    assert "1 can be played as long as" in html and "5 are not in" in html


def test_recordings_are_embedded_up_to_a_size(run_folder):
    html = written(run_folder, "--audio", "embed")
    (source,) = re.findall(r'<audio[^>]* src="([^"]*)"', html)
    assert source.startswith("data:audio/wav;base64,")
    html = written(run_folder, "--audio", "embed", "--max_embed_mb", "0.001")
    assert "<audio" not in html and "1 were left out to keep this file small" in html
    assert "<audio" not in written(run_folder, "--audio", "none")


def test_folds_that_are_left_out_are_named(run_folder):
    (run_folder / "fold_2" / "fold.json").unlink()
    assert "Not in this report: fold_2, not finished, fold.json missing" in written(
        run_folder
    )


def test_a_stress_report_is_a_page_with_its_numbers(tmp_path):
    out = tmp_path / "stress.html"
    main([str(ROOT / "recipes" / "Multi" / "stress"), "--out", str(out)])
    rows = {}
    for row in rows_of(out.read_text()):
        rows.setdefault(row[0], row)
    table = pd.read_csv(ROOT / "recipes" / "Multi" / "stress" / "stress.csv")
    clean = table[table["group"].isna()].iloc[0]
    assert rows["Clean"][1] == str(clean["n"])
    assert "It fails where" in out.read_text()


def test_a_table_of_experiments_is_a_page_with_its_numbers(tmp_path):
    folder = tmp_path / "table1"
    folder.mkdir()
    for name in ("table1.csv", "claims.csv"):
        shutil.copy(ROOT / "recipes" / "RAVDESS" / name, folder)
    (folder / "table1.md").write_text("# Whisper on RAVDESS\n\n> A note\n")
    main([str(folder)])
    html = (folder / "report.html").read_text()
    assert (
        "<h1>Whisper on RAVDESS</h1>" in html and '<p class="note">A note</p>' in html
    )
    first = pd.read_csv(folder / "table1.csv").iloc[0]
    interval = f"{first.UA:.2f} [{first.UA_low:.2f}, {first.UA_high:.2f}]"
    assert any(
        row[1:2] == [first.experiment] and interval in row for row in rows_of(html)
    )


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="has nothing to report.*stress.csv"):
        main([str(tmp_path)])


@pytest.fixture(scope="module")
def browser():
    from browser import running_browser  # skips without Playwright or Chromium

    with running_browser() as browser:
        yield browser


@pytest.mark.slow
def test_in_a_browser_rows_are_sorted_and_filtered(run_folder, browser):
    written(run_folder)
    page = browser.new_page(viewport={"width": 390, "height": 800})
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((run_folder / "report" / "report.html").as_uri())
    assert [url for url in asked if url.startswith("http")] == []
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390  # wide tables scroll, not the page

    rows = page.locator("#s4 tbody tr")  # six are wrong
    assert rows.count() == 6
    page.locator("#s4").get_by_role("button", name="utterance").press("Enter")
    names = page.locator("#s4 tbody th").all_inner_texts()
    assert names == sorted(names)
    page.locator("#s4").get_by_role("button", name="utterance").click()
    again = page.locator("#s4 tbody th").all_inner_texts()
    assert again == names[::-1]
    heading = page.locator("#s4 thead th").first
    assert heading.get_attribute("aria-sort") == "descending"

    page.locator("#s4 select").first.select_option("angry")
    assert page.locator("#s4 output").inner_text() == "2 of 6"
    page.locator("#s4 input[type=search]").fill("2-")
    assert page.locator("#s4 output").inner_text() == "1 of 6"
    page.close()


@pytest.mark.slow
def test_without_scripts_the_page_has_everything_but_sorting(run_folder, browser):
    written(run_folder)
    context = browser.new_context(java_script_enabled=False, color_scheme="dark")
    page = context.new_page()
    page.goto((run_folder / "report" / "report.html").as_uri())
    assert page.locator("#s4 tbody tr").count() == 6
    assert not page.locator("form.filters").is_visible()
    context.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_can_be_read_and_used_by_everybody(run_folder, browser, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    written(run_folder)
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto((run_folder / "report" / "report.html").as_uri())
    found = axe.Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found] == []
    context.close()
