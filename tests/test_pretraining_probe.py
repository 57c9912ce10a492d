"""The probe: which encoder an experiment gets, what is written, what the tables say."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from speechbrain.utils.run_opts import RunOptions

from ser_lib.corpora import Utterance
from ser_lib.folds import Fold
from ser_lib.pretraining import Probe, probe_table
from ser_lib.pretraining.probe import encoder_settings, excluded_by
from ser_lib.settings import Settings

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
RECIPE = RECIPES / "Pretraining"
OPTIONS = {"device": "cpu", "noprogressbar": True}


def experiment(name: str) -> Settings:
    return Settings.from_file(RECIPES / "RAVDESS" / "hparams" / f"{name}.yaml")


# ---- what is run


def test_a_folds_test_speakers_become_patterns():
    test = [Utterance(f"u{s}", "u.wav", "sad", s, 1.0) for s in ("9", "1", "9")]
    fold = Fold(1, [Utterance("d", "d.wav", "sad", "5", 1.0)], [], test)
    assert excluded_by(fold, "*Actor_{speaker}/*") == ["*Actor_1/*", "*Actor_9/*"]


def test_superb_takes_the_family_and_the_folder(tmp_path):
    found = encoder_settings(experiment("superb"), "apc", tmp_path)
    assert found == {"family": "apc", "upstream_source": str(tmp_path)}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("hubert_finetune", "hubert_source"),
        ("hubert_tiny_finetune", "hubert_source"),
        ("w2v2_finetune", "w2v2_source"),
        ("hubert_ecapa", "hubert_source"),
    ],
)
def test_an_experiment_on_one_encoder_takes_its_folder(name, key, tmp_path):
    found = encoder_settings(experiment(name), "data2vec", tmp_path)
    assert found == {key: str(tmp_path)}


@pytest.mark.parametrize(
    ("name", "family", "message"),
    [
        ("fbank_ecapa", "hubert", r"fbank_ecapa.yaml does not .* none of them\."),
        ("hubert_w2v2_early", "hubert", r"has hubert_source and w2v2_source\."),
        ("hubert_finetune", "apc", "Hugging Face.s format, but apc has another"),
    ],
)
def test_an_experiment_that_cannot_take_the_encoder_is_refused(name, family, message):
    with pytest.raises(ValueError, match=message):
        encoder_settings(experiment(name), family, Path("encoder"))


def test_what_does_not_fit_is_found_before_anything_is_trained(tmp_path):
    file = RECIPES / "RAVDESS" / "hparams" / "hubert_finetune.yaml"
    with pytest.raises(ValueError, match="cpc has another"):
        Probe(file, tmp_path, tmp_path).check(RECIPE / "hparams" / "cpc.yaml")
    mistyped = Probe(file, tmp_path, tmp_path, pretraining="{number_of_epoch: 1}")
    with pytest.raises(ValueError, match="Did you mean 'number_of_epochs'"):
        mistyped.check(RECIPE / "hparams" / "hubert.yaml")
    no_mapping = Probe(file, tmp_path, tmp_path, pretraining="lr 0.1")
    with pytest.raises(ValueError, match="--pretraining is 'lr 0.1'; expected"):
        no_mapping.check(RECIPE / "hparams" / "hubert.yaml")


def write_corpus(folder: Path) -> Path:
    """Twelve recordings of noise by four speakers, and their table."""
    random = np.random.default_rng(0)
    lines = ["path,label,speaker"]
    for i in range(12):
        speaker, label = f"s{i % 4}", "ab"[i // 4 % 2]
        path = folder / speaker / f"{i}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, 0.1 * random.standard_normal(9600 + 400 * i), 16000)
        lines.append(f"{speaker}/{i}.wav,{label},{speaker}")
    (folder / "my.csv").write_text("\n".join(lines) + "\n")
    return folder / "my.csv"


def test_a_fold_is_pretrained_without_its_test_speakers_and_probed_twice(tmp_path):
    table = write_corpus(tmp_path)
    common = "num_workers: 0, number_of_epochs: 1, tensorboard: 'no'"
    probe = Probe(
        RECIPES / "Custom" / "hparams" / "hubert_finetune.yaml",
        tmp_path,
        tmp_path / "results",
        speaker_files="{speaker}/*",
        pretraining=f"{{{common}, crop_s: 0.5,\n n_clusters: 5, mask_length: 3}}",
        changes=f"{{csv: {table}, {common}}}",
    )
    fold = probe.folds()[1]
    (speaker,) = {utterance.speaker for utterance in fold.test}
    file = RECIPE / "hparams" / "hubert_tiny.yaml"
    probe.check(file)
    row = probe.run(file, fold, RunOptions.from_dictionary(OPTIONS))
    run_folder = tmp_path / "results" / "fold_2" / "hubert_tiny" / "seed_1986"
    heard = pd.read_csv(run_folder / "recordings.csv")["path"]
    assert len(heard) == 9 and not heard.str.startswith(f"{speaker}/").any()
    for name in ("before", "after"):
        folder = run_folder / name / "hubert_finetune" / "seed_1986"
        assert (folder / "fold_2" / "predictions.csv").is_file()
        source = Settings.from_file(folder / "hyperparams.yaml")["hubert_source"]
        expected = {"before": "encoder_untrained", "after": "encoder"}[name]
        assert Path(source).name == expected
        assert 0 <= row[f"UA_{name}"] <= 100
    assert [row[key] for key in probe_table.KEYS] == [
        "hubert_finetune",
        "hubert_tiny",
        1986,
        2,
    ]
    assert row["settings"].startswith('--pretraining "{num_workers: 0, number_of_epo')
    assert "crop_s: 0.5, n_clusters: 5" in row["settings"]  # in one line
    assert "my.csv" in (run_folder / "encoder" / "README.md").read_text()


# ---- what is written


def probe_row(
    method: str, ua_after: float, fold: int = 1, experiment: str = "superb"
) -> dict:
    row = {"experiment": experiment, "method": method, "seed": 1, "fold": fold}
    row |= {"epochs": 2, "train_loss_first": 2.0, "train_loss_last": 1.0}
    row |= {"valid_loss_first": 2.0, "valid_loss_last": 1.5}
    row |= {"UA_before": 20.0, "WA_before": 21.0, "UA_after": ua_after}
    return {**row, "WA_after": 31.0, "settings": ""}


def table_lines(path: Path) -> list[str]:
    lines = probe_table.probe_block(path).splitlines()
    return [line for line in lines if line.startswith("|") and ":---" not in line]


def test_a_probe_run_again_takes_the_place_of_the_first(tmp_path):
    path = tmp_path / "probe.csv"
    for method, ua in (("cpc", 30.0), ("apc", 19.0), ("cpc", 35.5)):
        probe_table.merge_row(path, probe_row(method, ua))
    head, *lines = table_lines(path)
    assert head.startswith("| Method | Epochs | Training loss, first epoch | last | UA")
    assert lines == [
        "| apc | 2 | 2.00 | 1.00 | 20.00 | 19.00 | -1.00 | 21.00 | 31.00 | +10.00 |",
        "| cpc | 2 | 2.00 | 1.00 | 20.00 | 35.50 | +15.50 | 21.00 | 31.00 | +10.00 |",
    ]


def test_folds_are_averaged_and_gains_are_counted_in_each_fold(tmp_path):
    path = tmp_path / "probe.csv"
    for fold, ua in ((1, 19.0), (2, 23.0), (3, 30.0)):
        row = probe_row("hubert_tiny", ua, fold, "hubert_tiny_finetune")
        probe_table.merge_row(path, row)
    probe_table.merge_row(path, probe_row("apc", 30.0))  # one fold alone
    head, line = table_lines(path)[-2:]
    assert head.startswith("| Experiment | Method | Folds | UA before | UA after |")
    # 19, 23 and 30: mean 24, deviations -5, -1 and 6, sd = sqrt(62 / 2) = 5.57
    assert line == (
        "| hubert_tiny_finetune | hubert_tiny | 3 "
        "| 20.00 ± 0.00 | 24.00 ± 5.57 | +4.00 ± 5.57 | 2 of 3 "
        "| 21.00 ± 0.00 | 31.00 ± 0.00 | +10.00 ± 0.00 | 3 of 3 |"
    )
    assert len([line for line in table_lines(path) if "| apc |" in line]) == 1


def test_the_first_table_is_superb_on_the_first_fold_alone(tmp_path):
    path = tmp_path / "probe.csv"
    for row in (probe_row("apc", 30.0, 2), probe_row("cpc", 30.0, 1, "other")):
        probe_table.merge_row(path, row)
    block = probe_table.probe_block(path)
    assert block.count(probe_table.NOT_YET) == 2 and not table_lines(path)


def test_the_settings_given_stand_under_the_table_with_their_methods(tmp_path):
    path = tmp_path / "probe.csv"
    given = '--pretraining "{number_of_epochs: 10}"'
    probe_table.merge_row(path, {**probe_row("apc", 30.0), "settings": given})
    block = probe_table.probe_block(path)
    assert f"Settings given on the command line: `{given}`." in block
    probe_table.merge_row(path, probe_row("cpc", 30.0))
    assert f"none (cpc); `{given}` (apc)." in probe_table.probe_block(path)


def test_rows_that_are_recorded_at_the_same_time_are_all_kept(tmp_path):
    markers = f"{probe_table.BEGIN}\n{probe_table.END}\n"
    (tmp_path / "README.md").write_text(markers)
    rows = [probe_row("apc", 30.0, fold) for fold in range(1, 9)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda row: probe_table.record(row, tmp_path), rows))
    assert list(pd.read_csv(tmp_path / "probe.csv")["fold"]) == list(range(1, 9))
    assert not probe_table.update_readme(tmp_path / "README.md", tmp_path / "probe.csv")
    assert "8 of 8" in (tmp_path / "README.md").read_text()


def test_the_table_of_the_readme_is_that_of_its_results(tmp_path):
    copy = shutil.copy(RECIPE / "README.md", tmp_path)
    assert not probe_table.update_readme(Path(copy), RECIPE / "probe.csv")


def test_a_readme_without_the_markers_is_refused(tmp_path):
    (tmp_path / "README.md").write_text("no table\n")
    with pytest.raises(ValueError, match="needs the line <!-- probe: begin"):
        probe_table.update_readme(tmp_path / "README.md", tmp_path / "probe.csv")
