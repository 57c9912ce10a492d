"""Write a report that opens in a browser, in one HTML file:

    python -m ser_lib.html_report results/fbank_ecapa/seed_1986     a run
    python -m ser_lib.html_report results/table1                    a table
    python -m ser_lib.html_report stress                            a stress report

The file needs no network and no other file, except for recordings that are linked. It
has the numbers of the Markdown report beside it, which stays.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader

from ser_lib import __version__
from ser_lib.html_report.content import Page
from ser_lib.html_report.of_run import data_folder_of, is_run, run_page
from ser_lib.html_report.of_tables import (
    is_stress,
    stress_page,
    table_file,
    table_page,
)
from ser_lib.html_report.players import CHOICES, EMBED, LINK, Players
from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import CommandParser, path_argument
from ser_lib.utils.files import atomic_path

FILE_NAME = "report.html"


def render(page: Page) -> str:
    """Return a page as HTML; all texts are escaped."""
    environment = Environment(
        loader=PackageLoader("ser_lib.html_report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html.jinja")
    return template.render(page=page, version=__version__)


def main(arguments: Sequence[str]) -> None:
    """Write the report of a folder."""
    parser = CommandParser("ser_lib.html_report", __doc__)
    parser.add_argument(
        "folder", type=path_argument, help="a run, a table or a stress report"
    )
    parser.add_argument("--out", type=path_argument, help="the file to write")
    parser.add_argument(
        "--audio",
        choices=CHOICES,
        default=LINK,
        help="players for the wrong predictions of a run: link the recordings, embed "
        "them in the file, or none (default: link)",
    )
    parser.add_argument(
        "--data_folder", type=path_argument, help="where the recordings of a run are"
    )
    parser.add_argument(
        "--max_embed_mb",
        type=float,
        default=50.0,
        help="size of all embedded recordings (default: 50)",
    )
    options = parser.parse_args(arguments)
    folder: Path = options.folder
    out = options.out or _default_file(folder)
    if is_run(folder):
        page = run_page(folder, _players(options, folder, out))
    elif is_stress(folder):
        page = stress_page(folder)
    elif path := table_file(folder):
        page = table_page(path)
    else:
        raise FileNotFoundError(
            f"{folder} has nothing to report. Expected the output folder of a run "
            f"(with report/report.json), of a table (with claims.csv) or of a stress "
            f"report (with stress.csv)."
        )
    with atomic_path(out) as unfinished:
        unfinished.write_text(render(page), encoding="utf-8")
    print(f"The report is in {out}")


def _default_file(folder: Path) -> Path:
    return folder / "report" / FILE_NAME if is_run(folder) else folder / FILE_NAME


def _players(options: Namespace, folder: Path, out: Path) -> Players:
    data_folder = options.data_folder
    if data_folder is None and options.audio in (LINK, EMBED):
        data_folder = data_folder_of(folder)
    most_bytes = int(1e6 * options.max_embed_mb)
    return Players(options.audio, data_folder or Path(), out, most_bytes)


if __name__ == "__main__":
    run_command(main)
