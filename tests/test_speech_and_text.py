"""HuBERT and BERT fused, trained on a table of one's own whose column text has gaps."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from speechbrain.utils.run_opts import RunOptions

from ser_lib.experiment import run
from ser_lib.export import load_trained
from ser_lib.settings import Settings
from ser_lib.synthetic.encoders import write_tiny_bert, write_tiny_hubert

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
SAID = {"calm": "so it is", "sad": "we lost it"}
SMALL = {"number_of_epochs": 1, "kept_checkpoints": 1, "averaged_checkpoints": 1}
TINY = {
    "ecapa_channels": [8, 8, 8, 8, 24],
    "ecapa_attention_channels": 4,
    "embedding_size": 4,
    "num_workers": 0,
    "tensorboard": "no",
    "folds": 1,
    **SMALL,
}


class OwnTable:
    """Four speakers who say a sentence calmly and another sadly, twice each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = []
        for k in range(16):
            speaker, label = "ABCD"[k % 4], ["calm", "sad"][k // 8]
            noise = np.random.default_rng(k).normal(0, 0.1, 4800)
            soundfile.write(folder / f"{k}.wav", noise, 16000)
            self.rows.append([f"{k}.wav", label, speaker, SAID[label]])
        self.hubert = write_tiny_hubert(folder / "hubert")
        self.bert = write_tiny_bert(folder / "bert", SAID.values())

    def settings(self, experiment: str, n_without: int = 0, **given: object):
        """Leave the text of the first rows empty."""
        table = pd.DataFrame(self.rows, columns=["path", "label", "speaker", "text"])
        table.loc[: n_without - 1, "text"] = ""
        table.to_csv(self.folder / "my.csv", index=False)
        stage = {"averaged_checkpoints": 1, "overrides": SMALL}
        given = {
            "csv": str(self.folder / "my.csv"),
            "results_folder": str(self.folder / "results"),
            "hubert_source": str(self.hubert),
            "bert_source": str(self.bert),
            "finetuned": {"hubert": stage, "bert": stage},
            **given,
        }
        path = self.folder / "hparams" / f"{experiment}.yaml"
        known = Settings.from_file(path, {"csv": given["csv"]})
        return Settings.from_file(
            path, given | {k: v for k, v in TINY.items() if k in known}
        )

    def train(self, settings: Settings) -> pd.DataFrame:
        options = RunOptions.from_dictionary({"noprogressbar": True, "device": "cpu"})
        run(settings, options)
        return pd.read_csv(Path(settings["output_folder"]) / "fold_1/predictions.csv")

    def stages(self) -> set[str]:
        trained = (self.folder / "results" / "work" / "trained").iterdir()
        return {path.name for path in trained if "_finetune-" in path.name}


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> OwnTable:
    folder = tmp_path_factory.mktemp("own")
    custom, shared = folder / "hparams", RECIPES / "hparams"
    custom.mkdir()
    for name in ("hubert_finetune", "bert_finetune", "hubert_bert_late"):
        text = (RECIPES / "Custom" / "hparams" / f"{name}.yaml").read_text()
        (custom / f"{name}.yaml").write_text(
            text.replace("../..", str(RECIPES)).replace(
                "../corpus.yaml", str(RECIPES / "Custom" / "corpus.yaml")
            )
        )
    (custom / "hubert_bert_attentive.yaml").write_text(
        f"extends: [{shared}/hubert_bert_attentive.yaml, "
        f"{RECIPES}/Custom/corpus.yaml]\n"
    )
    return OwnTable(folder)


def test_late_and_attentive_fusion_train_on_the_column_text_and_share_encoders(table):
    late = table.train(table.settings("hubert_bert_late"))
    stages = table.stages()
    assert sorted(name.split("-")[0] for name in stages) == [
        *["bert_finetune", "hubert_finetune"]
    ]
    settings = table.settings("hubert_bert_attentive")
    attentive = table.train(settings)
    assert table.stages() == stages
    assert late["id"].tolist() == attentive["id"].tolist()
    assert len(late) == 4
    assert not np.allclose(late["p_calm"], attentive["p_calm"])
    # The trained model, run as a whole, gives what was tested on stored frames.
    model, _ = load_trained(settings["output_folder"], 1)
    wavs = [soundfile.read(table.folder / name)[0] for name in attentive["id"]]
    said = {row[0]: row[3] for row in table.rows}
    texts = [said[i] for i in attentive["id"]]
    with torch.no_grad():
        logits = model(torch.tensor(np.array(wavs)).float(), torch.ones(4), texts)
    np.testing.assert_allclose(
        logits.softmax(-1)[:, 0].numpy(), attentive["p_calm"], atol=1e-3
    )


def test_with_modality_dropout_a_row_without_text_is_used_and_counted(table, capsys):
    settings = table.settings("hubert_bert_late", n_without=3, modality_dropout=0.5)
    predictions = table.train(settings)
    counted = "3 of 16 utterances of my.csv have no transcript: used without text."
    assert counted in capsys.readouterr().out
    assert len(predictions) == 4
    strict = table.settings("hubert_bert_late", n_without=3)
    with pytest.raises(ValueError, match="3 of 16 .* my.csv have none"):
        table.train(strict)  # although its encoders are there now
