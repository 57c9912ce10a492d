"""Write the files of a new corpus into this checkout:

    python -m ser_lib.corpora new NAME

They are a recipe, a parser and a test, which pass the tests at once; change the lines
marked TODO. CONTRIBUTING.md walks through an example.
"""

from collections.abc import Sequence

from ser_lib.corpora.skeleton import write_skeleton
from ser_lib.settings import RECIPES
from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import CommandParser
from ser_lib.utils.packages import IS_CHECKOUT


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser("ser_lib.corpora", __doc__)
    parser.add_argument("action", choices=["new"])
    parser.add_argument("name", help="name of the corpus, such as EmoDB")
    options = parser.parse_args(arguments)
    if not IS_CHECKOUT:
        raise ValueError(
            "A new corpus is written into a checkout; this is an installed package. "
            "Clone the repository, or list your recordings in a CSV file "
            "(ser-train Custom/hubert_ecapa --csv my.csv)."
        )
    files = write_skeleton(RECIPES.parent, options.name)
    for path in files:
        print(path.relative_to(RECIPES.parent))
    print("Change the lines marked TODO; bash tests/run.sh -k corpora tests them.")


if __name__ == "__main__":
    run_command(main)
