"""Pack finished runs for the Hugging Face hub or Zenodo, and check such a pack:

    python -m ser_lib.publish results/fbank_ecapa/seed_1986 PACK     one run
    python -m ser_lib.publish results PACK                           all runs in it
    python -m ser_lib.publish --verify PACK

A pack has settings, folds, predictions, learning curves, reports, versions, checksums,
a card and a CITATION.cff; no audio, no transcripts and no path of this machine.

``--verify`` recomputes every score from the predictions, compares the checksums, the
folds and the labels, and prints the command that repeats each run. Exit code: 0, all is
as it was written; 1, a score differs or a file was changed; 2, wrong usage.
"""

from collections.abc import Sequence
from pathlib import Path

from ser_lib.utils.checksums import pack_id, read_checksums
from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import CommandParser, path_argument, text_argument


def main(arguments: Sequence[str]) -> int:
    """Write or check a pack; return 1 if a check finds a fault."""
    parser = CommandParser("ser_lib.publish", __doc__)
    parser.add_argument(
        "folder", type=path_argument, help="a run, several, or with --verify a pack"
    )
    parser.add_argument(
        "out", type=path_argument, nargs="?", help="the pack to write, a new folder"
    )
    parser.add_argument("--verify", action="store_true", help="check a pack")
    parser.add_argument(
        "--author",
        type=text_argument,
        action="append",
        default=[],
        metavar="NAME",
        help="an author of the results, for the citation; may be repeated",
    )
    options = parser.parse_args(arguments)
    if options.verify and (options.out or options.author):
        parser.error("--verify takes one folder, a pack, and no other option")
    if options.verify:
        return _verify(options.folder)
    if options.out is None:
        parser.error("give the folder to write: python -m ser_lib.publish RESULTS OUT")
    from ser_lib.publish.pack import write_pack

    identity = write_pack(options.folder, options.out, options.author)
    print(f"The pack is {options.out}, its id {identity}. Read its README.md, then")
    print(f"check it with: python -m ser_lib.publish --verify {options.out}")
    return 0


def _verify(pack: Path) -> int:
    from ser_lib.publish.runs import repeating_commands
    from ser_lib.publish.verify import faults_of, run_name

    runs, faults = faults_of(pack)
    for fault in faults:
        print(fault)
    if faults:
        print(f"{pack}: {len(faults)} faults.")
        return 1
    sums = read_checksums(pack)
    print(f"{pack}, id {pack_id(sums)}: {len(sums)} files as they were written.")
    for run in runs:
        n_rows = sum(result.scores.n for result in run.results)
        print(
            f"{run_name(pack, run)}: all scores follow from the predictions of "
            f"{n_rows} utterances in {len(run.results)} folds. To repeat it:"
        )
        for command in repeating_commands(run):
            print(f"    {command}")
    return 0


if __name__ == "__main__":
    run_command(main)
