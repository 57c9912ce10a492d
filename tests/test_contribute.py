"""A recipe of ours, written as a standalone recipe for SpeechBrain."""

import ast
import csv
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from hyperpyyaml import load_hyperpyyaml
from real_index import superb_release
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

from ser_lib.aggregators import EcapaTdnn, MeanPooling
from ser_lib.contribute.__main__ import main
from ser_lib.corpora import read_utterances
from ser_lib.dataio.samplers import LengthBucketSampler
from ser_lib.folds import superb_folds
from ser_lib.settings import RECIPES, Settings
from ser_lib.synthetic.corpora import write_ravdess
from ser_lib.synthetic.encoders import write_tiny_hubert
from ser_lib.synthetic.iemocap import miniature_counts, write_miniature_iemocap
from ser_lib.training.schedule import warmup_cosine
from ser_lib.upstreams import Frames, HuggingFaceUpstream

IEMOCAP = RECIPES / "IEMOCAP" / "hparams"
RAVDESS = RECIPES / "RAVDESS" / "hparams"
TASK = "emotion_recognition_ssl"
PARTS = ("train", "valid", "test")
NAMES = [
    f"{encoder}_{kind}"
    for encoder in ("w2v2", "hubert")
    for kind in ("finetune", "mean", "ecapa")
]


@pytest.fixture(scope="module")
def iemocap(tmp_path_factory) -> Path:
    """The folder of the recipe of rows 1 to 6 of Table 1."""
    out = tmp_path_factory.mktemp("iemocap") / "my recipe"
    main([*(str(IEMOCAP / f"{name}.yaml") for name in NAMES), str(out)])
    return out / "recipes" / "IEMOCAP" / TASK


@pytest.fixture(scope="module")
def ravdess(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("ravdess") / "out"
    main([str(RAVDESS / "hubert_ecapa.yaml"), str(out)])
    return out / "recipes" / "RAVDESS" / TASK


def module_of(script: Path):
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- files


def test_rows_1_to_6_share_their_scripts_and_their_two_fine_tunings(iemocap):
    hparams = {path.stem for path in (iemocap / "hparams").iterdir()}
    assert hparams == {*NAMES}
    others = {path.name for path in iemocap.iterdir() if path.is_file()}
    assert others == {
        "train.py",
        "iemocap_prepare.py",
        "README.md",
        "extra_requirements.txt",
    }


def test_one_experiment_brings_the_stage_that_fine_tunes_its_encoder(ravdess):
    hparams = {path.stem for path in (ravdess / "hparams").iterdir()}
    assert hparams == {"hubert_finetune", "hubert_ecapa"}


def test_a_recipe_is_the_same_when_it_is_written_again(iemocap, tmp_path):
    main([*(str(IEMOCAP / f"{name}.yaml") for name in NAMES), str(tmp_path / "b")])
    first, second = iemocap.parents[2], tmp_path / "b"
    files = [p.relative_to(first) for p in first.rglob("*") if p.is_file()]
    assert len(files) == 11
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes()


@pytest.mark.parametrize("recipe", ["iemocap", "ravdess"])
def test_a_recipe_imports_no_package_of_ours(recipe, request):
    folder = request.getfixturevalue(recipe)
    allowed = {"speechbrain", "torch", "torchaudio", "hyperpyyaml", "numpy"}
    own = {path.stem for path in folder.glob("*.py")}
    for script in folder.glob("*.py"):
        for node in ast.walk(ast.parse(script.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.split(".")[0]
                assert top in allowed | own or top in sys.stdlib_module_names
    for path in folder.rglob("*"):
        assert path.is_dir() or "ser_lib" not in path.read_text()


@pytest.mark.parametrize("recipe", ["iemocap", "ravdess"])
def test_the_script_reads_every_key_of_every_hparams_file(recipe, request):
    folder = request.getfixturevalue(recipe)
    script = (folder / "train.py").read_text()
    for path in (folder / "hparams").iterdir():
        text = path.read_text()
        keys = re.findall(r"^(\w+):", text, re.M)
        assert "wav2vec2_hub" in keys and "__set_seed" in keys
        for key in {*keys} - {"__set_seed"}:
            is_referred_to = f"<{key}>" in text
            is_read = re.search(rf'hparams\.{key}\b|\["{key}"\]', script)
            assert is_referred_to or is_read, f"{key} of {path.name}"


def test_an_hparams_file_has_the_numbers_of_our_settings(iemocap):
    data = {"data_folder": "DATA"}
    for name in NAMES:
        text = (iemocap / "hparams" / f"{name}.yaml").read_text()
        written = yaml.safe_load(re.sub(r"!\S+:\S+|!ref|!PLACEHOLDER", "", text))
        settings = Settings.from_file(IEMOCAP / f"{name}.yaml", data)
        assert written["lr"] == settings["lr_downstream"]
        if name.endswith("finetune"):
            assert written["lr_wav2vec2"] == settings["lr_upstream"] == 1e-5
        for key in ("batch_size", "max_batch_s", "number_of_epochs", "patience"):
            assert written[key] == settings[key]
        assert written["averaged_checkpoints"] == settings["averaged_checkpoints"]


def test_the_lines_for_the_tests_name_files_that_are_written(iemocap, ravdess):
    lines = iemocap.parents[2] / "append_to" / "tests" / "recipes" / "IEMOCAP.csv"
    complete = ravdess.parents[2] / "tests" / "recipes" / "RAVDESS.csv"
    header = complete.read_text().splitlines()[0]
    rows = list(csv.DictReader(io.StringIO(f"{header}\n{lines.read_text()}")))
    assert len(rows) == 6
    for root, row in [
        *((iemocap.parents[2], row) for row in rows),
        *((ravdess.parents[2], row) for row in csv.DictReader(complete.open())),
    ]:
        for column in ("Script_file", "Hparam_file", "Data_prep_file", "Readme_file"):
            assert (root / row[column]).is_file()
        assert "--skip_prep=True" in row["test_debug_flags"]


def test_the_readme_says_which_scores_are_the_papers_and_that_ours_are_missing(iemocap):
    readme = (iemocap / "README.md").read_text()
    row = "| hubert_ecapa.yaml | facebook/hubert-large-ll60k |"
    assert f"{row} - | - | this recipe: not measured yet |" in readme
    assert (
        f"{row} 75.56 | 76.78 | paper: Morais et al. (2022), Table 1, row 6" in readme
    )


# ---- refusals


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (IEMOCAP / "fbank_ecapa.yaml", "reads FbankUpstream"),
        (IEMOCAP / "bert_ecapa.yaml", "reads TextUpstream"),
        (IEMOCAP / "hubert_w2v2_late.yaml", "reads several encoders"),
        (RAVDESS / "whisper_ecapa.yaml", "reads WhisperUpstream"),
        (RAVDESS / "prosody_frozen.yaml", "cannot be a SpeechBrain recipe"),
        (RECIPES / "SAVEE" / "hparams" / "fbank_ecapa.yaml", "is on SAVEE"),
        (RECIPES / "Custom" / "hparams" / "hubert_ecapa.yaml", "a table of recordings"),
        (RECIPES / "Multi" / "hparams" / "fbank_ecapa.yaml", "several corpora"),
    ],
)
def test_what_cannot_be_a_recipe_is_refused_in_one_line(path, reason, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=reason) as error:
        main([str(path), str(tmp_path / "out")])
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty"):
        main([str(IEMOCAP / "hubert_ecapa.yaml"), str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_experiments_on_two_corpora_are_refused(tmp_path):
    paths = [IEMOCAP / "hubert_ecapa.yaml", RAVDESS / "hubert_ecapa.yaml"]
    with pytest.raises(ValueError, match="IEMOCAP and RAVDESS"):
        main([*map(str, paths), str(tmp_path / "out")])


# ---- folds


def test_all_15_parts_of_the_real_release_are_superbs(iemocap, shared_data):
    prepare = module_of(iemocap / "iemocap_prepare.py")
    release = superb_release(shared_data)
    turns = [(u.id, u.label) for u in release]
    n_equal = 0
    for fold in superb_folds(release):
        parts = prepare.split(turns, fold.number)
        prepare.check_parts(parts, fold.number)
        for part in PARTS:
            own = [(u.id, u.label) for u in fold.parts[part]]
            assert parts[part] == own
            n_equal += 1
    assert n_equal == 15


@pytest.fixture(scope="module")
def miniature(tmp_path_factory) -> Path:
    return write_miniature_iemocap(tmp_path_factory.mktemp("data") / "IEMOCAP", 4)


def written_parts(prepare, data: Path, folder: Path, fold: int, **options) -> dict:
    files = {part: str(folder / f"{part}_{fold}.json") for part in PARTS}
    prepare.prepare_data(str(data), *files.values(), fold=fold, **options)
    return {part: json.loads(Path(files[part]).read_text()) for part in PARTS}


def as_written(utterances) -> list[tuple]:
    return [
        (u.id, f"{{data_root}}/{u.path}", u.label, u.speaker, round(u.duration_s, 6))
        for u in utterances
    ]


def read_back(rows: dict) -> list[tuple]:
    return [
        (i, row["wav"], row["emo"], row["spk"], round(row["length"], 6))
        for i, row in rows.items()
    ]


def test_all_15_parts_of_the_miniature_corpus_are_ours(iemocap, miniature, tmp_path):
    prepare = module_of(iemocap / "iemocap_prepare.py")
    given = {"counts": miniature_counts(4), "part_digests": None}
    overrides = {"data_folder": str(miniature), "corpus": given}
    settings = Settings.from_file(IEMOCAP / "hubert_ecapa.yaml", overrides)
    for fold in superb_folds(read_utterances(settings)):
        parts = written_parts(
            prepare, miniature, tmp_path, fold.number, check_release=False
        )
        for part in PARTS:
            assert read_back(parts[part]) == as_written(fold.parts[part])


def test_another_corpus_in_the_layout_of_iemocap_is_refused(
    iemocap, miniature, tmp_path
):
    prepare = module_of(iemocap / "iemocap_prepare.py")
    with pytest.raises(ValueError, match="train part of fold 2 has"):
        written_parts(prepare, miniature, tmp_path, 2)
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_all_18_parts_of_ravdess_are_ours(ravdess, tmp_path):
    prepare = module_of(ravdess / "ravdess_prepare.py")
    data = write_ravdess(tmp_path / "data", small=True)
    path = RAVDESS / "hubert_ecapa.yaml"
    settings = Settings.from_file(path, {"data_folder": str(data)})
    for fold in settings["make_folds"](read_utterances(settings)):
        parts = written_parts(prepare, data, tmp_path, fold.number)
        for part in PARTS:
            assert read_back(parts[part]) == as_written(fold.parts[part])
    (data / "Actor_01" / "03-01-01-01-01-01-01.wav").unlink()
    with pytest.raises(ValueError, match="has 1439 recordings of speech, not 1440"):
        written_parts(prepare, data, tmp_path, 7)


# ---- the same numbers as ours


def test_the_batches_and_the_learning_rates_are_ours(iemocap):
    train = module_of(iemocap / "train.py")
    lengths = (1 + 9 * torch.rand(33)).tolist()
    for shuffle in (True, False):
        theirs = train.LengthBatchSampler(lengths, 4, 25, shuffle=shuffle, seed=7)
        ours = LengthBucketSampler(lengths, 4, 25, seed=7, shuffle=shuffle)
        for epoch in (0, 1, 2):
            theirs.set_epoch(epoch)
            ours.set_epoch(epoch)
            assert list(theirs) == list(ours)
    for progress in (0.0, 0.05, 0.1, 0.7, 1.0):
        assert train.warmup_cosine(progress, 0.1) == warmup_cosine(progress, 0.1)


def test_the_mean_is_ours_with_padding_too(iemocap):
    train = module_of(iemocap / "train.py")
    frames, counts = torch.randn(3, 20, 5), torch.tensor([20, 13, 7])
    theirs = train.mean_over_time(frames, counts / 20)
    ours = MeanPooling(5)(Frames(frames, counts))
    assert torch.allclose(theirs, ours, atol=1e-6)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return write_tiny_hubert(tmp_path_factory.mktemp("hubert"), "layer")


def hparams_of(iemocap: Path, name: str, tiny: Path, folder: Path, **given) -> dict:
    options = {
        "data_folder": "DATA",
        "output_folder": str(folder),
        "wav2vec2_hub": str(tiny),
        "encoder_dim": 64,
        **given,
    }
    with open(iemocap / "hparams" / f"{name}.yaml") as f:
        return load_hyperpyyaml(f, options)


@pytest.mark.slow
def test_without_padding_encoder_and_ecapa_give_our_embeddings(iemocap, tiny, tmp_path):
    """The tolerance is that of the constant in the variance of a waveform."""
    hparams = hparams_of(iemocap, "hubert_ecapa", tiny, tmp_path)
    ours = HuggingFaceUpstream(str(tiny), freeze=True).eval()
    wavs, lens = torch.randn(2, 16000), torch.ones(2)
    frames = ours(wavs, lens)
    theirs = hparams["wav2vec2"].eval()(wavs, lens)
    assert torch.allclose(theirs, frames.values, atol=1e-4)

    network: ECAPA_TDNN = hparams["ecapa"].eval()
    sizes = {"channels": [512, 512, 512, 512, 1536], "attention_channels": 128}
    aggregator = EcapaTdnn(64, 192, **sizes).eval()
    aggregator.ecapa.load_state_dict(network.state_dict())
    expected = aggregator(frames)
    assert torch.allclose(network(theirs, lens).squeeze(1), expected, atol=1e-3)


# ---- whole runs


def train(folder: Path, name: str, cwd: Path, *options: str) -> str:
    command = [sys.executable, str(folder / "train.py")]
    command += [str(folder / "hparams" / f"{name}.yaml"), *options]
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.slow
def test_both_stages_train_offline_and_average_their_best_epochs(
    iemocap, miniature, tiny, tmp_path
):
    options = [
        f"--data_folder={miniature}",
        f"--wav2vec2_hub={tiny}",
        "--encoder_dim=64",
        "--check_release=False",
        "--number_of_epochs=3",
        "--num_workers=0",
        "--noprogressbar",
        "--device=cpu",
    ]
    missing = train(iemocap, "hubert_mean", tmp_path, *options)
    assert "has no checkpoint. The first stage must be trained" in missing
    train(iemocap, "hubert_finetune", tmp_path, *options, "--kept_checkpoints=2")
    printed = train(iemocap, "hubert_mean", tmp_path, *options)

    first = tmp_path / "results" / "hubert_finetune" / "1986" / "fold_1"
    second = tmp_path / "results" / "hubert_mean" / "1986" / "fold_1"
    n_kept = len(list((first / "save").glob("CKPT*")))
    assert 2 <= n_kept <= 3  # the best two, and the newest
    assert "The encoder is the average of the epochs [" in printed
    log = (second / "train_log.txt").read_text().splitlines()
    assert [line.split(",")[0] for line in log[:3]] == [
        f"epoch: {epoch}" for epoch in (1, 2, 3)
    ]
    averaged = re.search(r"epochs averaged: \[([\d, ]+)\]", log[3])[1]
    assert sorted(averaged.split(", ")) == ["1", "2", "3"]
    with open(second / "predictions.csv") as f:
        rows = list(csv.DictReader(f))
    assert len(rows) == 16  # four of each label in a session
    right = sum(row["label"] == row["prediction"] for row in rows)
    scores = json.loads((second / "scores.json").read_text())
    assert scores["WA"] == pytest.approx(100 * right / 16)
    assert f"Mean of fold_1: WA {scores['WA']:.2f}" in printed
