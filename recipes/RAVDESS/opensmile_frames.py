#!/usr/bin/env python3
"""Write openSMILE's low-level descriptors of a corpus: a file of frames per utterance.

python -m pip install -r extra_requirements.txt
python opensmile_frames.py --data_folder DATA FRAMES

The 25 descriptors of eGeMAPSv02 (Eyben et al., 2016,
https://doi.org/10.1109/TAFFC.2015.2457417) every 10 ms: loudness, pitch, voice quality,
formants, spectrum. They are of the whole recording at 16 kHz, and zero where they do
not exist, such as pitch where nothing is voiced. The upstream ``FrameFiles`` reads
them. Files that exist are kept, so an interrupted run resumes. For another corpus, name
a settings file of it: ``--hparams ../nEMO/hparams/fbank_ecapa.yaml``. openSMILE's
licence allows research and evaluation.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ser_lib.audio import read_audio
from ser_lib.corpora import Utterance, read_utterances
from ser_lib.settings import Settings
from ser_lib.upstreams import frames_file
from ser_lib.utils.command import RESUMES, raise_if_interrupted, run_command
from ser_lib.utils.command_line import CommandParser, path_argument
from ser_lib.utils.files import atomic_path
from ser_lib.utils.progress import with_progress

HERE = Path(__file__).resolve().parent
RATE_HZ = 16000
FEATURES = "eGeMAPSv02"


def write_descriptors(
    utterances: Sequence[Utterance], data_folder: Path, out: Path
) -> int:
    """Write the (frames, 25) descriptors of each utterance, float32; count new files.

    Raises
    ------
    ModuleNotFoundError
        If openSMILE is not installed.
    """
    try:
        import opensmile
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "openSMILE is missing: python -m pip install -r extra_requirements.txt"
        ) from error
    smile = opensmile.Smile(
        opensmile.FeatureSet[FEATURES], opensmile.FeatureLevel.LowLevelDescriptors
    )
    missing = [u for u in utterances if not frames_file(out, u.id).is_file()]
    for u in with_progress(missing, FEATURES, "files"):
        raise_if_interrupted()
        wav = read_audio(data_folder / u.path, RATE_HZ).numpy()
        frames = smile.process_signal(wav, RATE_HZ).to_numpy()
        path = frames_file(out, u.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as unfinished, unfinished.open("wb") as f:
            np.save(f, frames.astype(np.float32), allow_pickle=False)
    return len(missing)


def main(arguments: Sequence[str]) -> None:
    """Read the corpus and write a file for each of its utterances."""
    parser = CommandParser("", __doc__)
    parser.add_argument("out", type=path_argument, help="folder of the files")
    parser.add_argument("--data_folder", type=path_argument, required=True)
    parser.add_argument(
        "--hparams",
        type=path_argument,
        default=HERE / "hparams" / "prosody_frozen.yaml",
        help="a settings file of the corpus",
    )
    options = parser.parse_args(arguments)
    given = {"data_folder": str(options.data_folder)}
    utterances = read_utterances(Settings.from_file(options.hparams, given))
    n_new = write_descriptors(utterances, options.data_folder, options.out)
    print(f"{options.out} has {len(utterances)} files, {n_new} of them new.")


if __name__ == "__main__":
    run_command(main, RESUMES)
