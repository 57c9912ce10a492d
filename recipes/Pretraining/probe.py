#!/usr/bin/env python3
"""Pre-train on a corpus without a fold's test speakers, and probe before and after.

python probe.py --data_folder RAVDESS
python probe.py --data_folder RAVDESS --methods apc,cpc --pretraining "{seed: 2}"

For each method: pre-training, the SUPERB protocol on the fold with the untrained
encoder and with the trained one, a row of probe.csv, and the table of README.md. The
same command again goes on where it stopped. SpeechBrain's run options can be given.
"""

import argparse
import sys
from pathlib import Path

from ruamel.yaml import YAML
from speechbrain import parse_arguments
from speechbrain.utils.run_opts import RunOptions

from ser_lib.hparams import Settings
from ser_lib.pretraining import pretrain
from ser_lib.pretraining.probe import (
    excluded_by,
    merge_row,
    probe_row,
    run_probe,
    update_readme,
)

HERE = Path(__file__).resolve().parent
METHODS = "mockingjay,apc,cpc,wav2vec,wav2vec2,hubert,data2vec,delores"


def probe(method: str, options: argparse.Namespace, run_opts: RunOptions) -> dict:
    """Give the row of one method."""
    corpus = Settings.from_file(options.experiment)
    given = {
        "data_folder": str(options.data_folder),
        "exclude": excluded_by(corpus, options.fold, options.speaker_files),
        "results_folder": str(options.results_folder / "pretraining"),
    }
    changes = YAML(typ="safe").load(options.pretraining) or {}
    file = HERE / "hparams" / f"{method}.yaml"
    settings = Settings.from_file(file, {**given, **changes})
    trained = pretrain(settings, run_opts)
    folders = []
    for name, encoder in (
        ("before", trained.with_name("encoder_untrained")),
        ("after", trained),
    ):
        given = {
            "data_folder": str(options.data_folder),
            "family": method,
            "folds": options.fold,
            "results_folder": str(options.results_folder / name),
        }
        changes = YAML(typ="safe").load(options.probe) or {}
        given = {**given, **changes}
        folders.append(run_probe(encoder, options.experiment, given, run_opts))
    return probe_row(trained.parent, *folders, options.fold, corpus["labels"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_folder", type=Path, required=True)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--fold", type=int, default=1)
    parser.add_argument("--pretraining", default="", help="settings of pre-training")
    parser.add_argument("--probe", default="", help="settings of the probes")
    parser.add_argument("--results_folder", type=Path, default=Path("results/probe"))
    parser.add_argument(
        "--experiment", type=Path, default=HERE.parent / "RAVDESS/hparams/superb.yaml"
    )
    parser.add_argument(
        "--speaker_files",
        default="*Actor_{speaker}/*",
        help="which files are a speaker's",
    )
    options, rest = parser.parse_known_args()
    _, run_opts, unknown = parse_arguments([str(options.experiment), *rest])
    if unknown:
        sys.exit(f"Unknown options: {unknown}")
    for method in options.methods.split(","):
        row = probe(method, options, run_opts)
        merge_row(HERE / "probe.csv", row)
        update_readme(HERE / "README.md", HERE / "probe.csv")
        print(row)
