"""The miniature corpus: official layout, real differences between its emotions."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchaudio.transforms import MelSpectrogram

from ser_lib.audio import read_audio
from ser_lib.corpora import read_utterances
from ser_lib.settings import RECIPES, Settings
from ser_lib.synthetic.iemocap import miniature_counts, write_miniature_iemocap

CORPUS_YAML = Path(__file__).parents[1] / "recipes" / "IEMOCAP" / "corpus.yaml"


def _read(folder: Path, per_class_and_session: int):
    """Read through the settings of IEMOCAP, with the miniature's own counts."""
    files = [RECIPES / "hparams" / "base.yaml", RECIPES / "IEMOCAP" / "corpus.yaml"]
    corpus = {"counts": miniature_counts(per_class_and_session)}
    given = {"data_folder": str(folder), "corpus": corpus}
    return read_utterances(Settings.from_files(files, given))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_miniature_iemocap(tmp_path_factory.mktemp("miniature"), 16)


@pytest.fixture(scope="module")
def utterances(folder):
    return _read(folder, 16)


@pytest.fixture(scope="module")
def wavs(folder, utterances):
    return [read_audio(folder / u.path, 16000) for u in utterances]


def _correct(classifier, features, utterances) -> float:
    """Share of correct labels when each session is left out in turn."""
    labels = [u.label for u in utterances]
    sessions = [u.session for u in utterances]
    predicted = cross_val_predict(
        classifier, features, labels, groups=sessions, cv=LeaveOneGroupOut()
    )
    return float(np.mean(predicted == np.array(labels)))


def test_it_is_read_like_the_release_and_holds_what_it_says(utterances):
    found = Counter(u.label for u in utterances)
    assert found == {"neu": 80, "hap": 80, "ang": 80, "sad": 80}
    assert len(utterances) == 320


@pytest.mark.parametrize("per_class_and_session", [1, 3])
def test_any_size_has_its_counts(per_class_and_session, tmp_path):
    write_miniature_iemocap(tmp_path, per_class_and_session)
    assert len(_read(tmp_path, per_class_and_session)) == 20 * per_class_and_session


def test_ten_speakers_say_every_class_equally_often(utterances):
    spoken = Counter((u.speaker, u.label) for u in utterances)
    assert len({speaker for speaker, _ in spoken}) == 10
    assert set(spoken.values()) == {8}


def test_both_speakers_of_a_session_are_in_every_dialog(utterances):
    dialogs = {}
    for u in utterances:
        dialogs.setdefault(u.dialog, set()).add(u.speaker)
    assert len(dialogs) == 20
    assert {len(speakers) for speakers in dialogs.values()} == {2}


def test_the_oddities_of_the_release_are_there(folder):
    lines = [
        line.split("\t")
        for path in folder.glob("Session*/dialog/EmoEvaluation/Ses*.txt")
        for line in path.read_text().splitlines()
        if line.startswith("[")
    ]
    labels = Counter(fields[2] for fields in lines)
    assert labels["exc"] == labels["hap"] == 40
    assert {labels[name] for name in ("fru", "xxx", "sur", "fea", "dis", "oth")} == {10}
    for pattern in (
        "dialog/EmoEvaluation/._Ses*.txt",
        "dialog/EmoEvaluation/Categorical/Ses*.txt",
        "sentences/wav/Ses*/._Ses*.wav",
    ):
        assert len(list((folder / "Session3").glob(pattern))) == 4
    transcript = folder / "Session3/dialog/transcriptions/Ses03F_impro01.txt"
    assert "M: Mhm." in transcript.read_text()
    assert "Ses03F_impro01_MXX0 [" in transcript.read_text()


def test_the_audio_has_the_format_of_the_release(folder, utterances, wavs):
    info = soundfile.info(folder / utterances[0].path)
    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
    durations_s = {u.duration_s for u in utterances}
    assert durations_s == {0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4}
    assert max(float(wav.abs().max()) for wav in wavs) < 1  # nothing clips


def test_the_seed_alone_decides(tmp_path):
    def contents(name, seed):
        folder = write_miniature_iemocap(tmp_path / name, 1, seed)
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        return {p.relative_to(folder): p.read_bytes() for p in files}

    first = contents("first", seed=0)
    np.random.seed(7)
    assert contents("again", seed=0) == first
    other = contents("other", seed=1)
    assert not {
        first[path] for path in first.keys() & other.keys() if path.suffix == ".wav"
    } & {other[path] for path in other if not path.name.startswith("._")}


def test_emotions_differ_in_level_in_the_order_of_the_literature(utterances, wavs):
    level_db = {
        label: np.mean(
            [
                20 * float(wav.square().mean().sqrt().log10())
                for u, wav in zip(utterances, wavs, strict=True)
                if u.label == label
            ]
        )
        for label in ("neu", "hap", "ang", "sad")
    }
    assert sorted(level_db, key=level_db.get) == ["sad", "neu", "hap", "ang"]
    # 7 and -5 dB between the voices, and the drawn spread between utterances.
    assert level_db["ang"] - level_db["neu"] == pytest.approx(7, abs=1)
    assert level_db["sad"] - level_db["neu"] == pytest.approx(-5, abs=1)


def test_emotions_can_be_learned_from_the_audio_but_overlap(utterances, wavs):
    mel = MelSpectrogram(16000, n_fft=400, hop_length=160, n_mels=20)
    bands = [(mel(wav) + 1e-8).log() for wav in wavs]
    features = torch.stack([torch.cat([b.mean(1), b.std(1)]) for b in bands]).numpy()
    classifier = make_pipeline(
        StandardScaler(),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    )
    assert 0.75 < _correct(classifier, features, utterances) < 0.95


def test_the_words_hint_at_the_emotion_above_chance(utterances):
    classifier = make_pipeline(CountVectorizer(), LogisticRegression())
    texts = [u.text for u in utterances]
    assert 0.4 < _correct(classifier, texts, utterances) < 0.75
