"""The ``CITATION.cff`` of a pack, https://citation-file-format.github.io."""

from collections.abc import Sequence
from io import StringIO

from ruamel.yaml import YAML

from ser_lib import __version__
from ser_lib.publish.runs import Run

PAPER = {
    "type": "conference-paper",
    "title": "Speech Emotion Recognition Using Self-Supervised Features",
    "authors": [
        {"family-names": family, "given-names": given}
        for family, given in (
            ("Morais", "Edmilson"),
            ("Hoory", "Ron"),
            ("Zhu", "Weizhong"),
            ("Gat", "Itai"),
            ("Damasceno", "Matheus"),
            ("Aronowitz", "Hagai"),
        )
    ],
    "year": 2022,
    "doi": "10.1109/ICASSP43922.2022.9747870",
}


def citation(runs: Sequence[Run], identity: str, authors: Sequence[str]) -> str:
    """Return the text of the file: these results, the recipes' paper and the corpora.

    Arguments
    ---------
    runs : Sequence[Run]
        The runs in the pack.
    identity : str
        The id of the pack, which is its version.
    authors : Sequence[str]
        Names, as they are written.
    """
    corpora = {run.corpus["name"]: run.corpus for run in runs}
    names = authors or [f"The authors of the results {identity}"]
    content = {
        "cff-version": "1.2.0",
        "message": "If you use these results, please cite them, the paper and the "
        "corpora below.",
        "type": "dataset",
        "title": title_of(runs),
        "authors": [{"name": name} for name in names],
        "version": identity,
        "references": [
            PAPER,
            {
                "type": "software",
                "title": "Speech emotion recognition recipes",
                "authors": [
                    {
                        "name": "The maintainers of the speech emotion recognition "
                        "recipes"
                    }
                ],
                "version": __version__,
            },
            *(
                {
                    "type": "data",
                    "title": name,
                    "authors": [{"name": f"The authors of {name}"}],
                    "notes": str(corpus.get("citation", "not stated")).strip(),
                }
                for name, corpus in corpora.items()
            ),
        ],
    }
    text = StringIO()
    yaml = YAML()
    yaml.representer.ignore_aliases = lambda node: True
    yaml.dump(content, text)
    return text.getvalue()


def title_of(runs: Sequence[Run]) -> str:
    """Return the title of a pack.

    A single run is named; of several, the corpora are.
    """
    corpora = ", ".join(sorted({run.corpus["name"] for run in runs}))
    if len(runs) == 1:
        return f"Results of {runs[0].experiment}, seed {runs[0].seed}, on {corpora}"
    return f"Results of {len(runs)} runs on {corpora}"
