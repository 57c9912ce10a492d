"""Attributes of each corpus: what a person reads in its names and tables."""

from collections import Counter

import pytest

from ser_lib.corpora import read_utterances
from ser_lib.settings import RECIPES, Settings
from ser_lib.synthetic.corpora import write_ravdess, write_savee
from ser_lib.synthetic.iemocap import miniature_counts, write_miniature_iemocap
from ser_lib.synthetic.releases import write_crema_d, write_emodb, write_nemo


@pytest.fixture(scope="module")
def ravdess(tmp_path_factory):
    return write_ravdess(tmp_path_factory.mktemp("ravdess"), small=True)


def read(recipe, folder, tasks, **given):
    files = [RECIPES / "hparams" / "base.yaml", RECIPES / recipe / "corpus.yaml"]
    given |= {"data_folder": str(folder), "tasks": tasks}
    utterances = read_utterances(Settings.from_files(files, given))
    return {u.id: dict(u.attributes) for u in utterances}


SOFT = {"emotion": {"kind": "distribution"}}


def classes(*names):
    return {name: {"kind": "classes"} for name in ("emotion", *names)}


AGE = {"age": {"kind": "value", "range": [0, 120]}}


def test_names_of_ravdess_say_intensity_gender_and_statement(ravdess):
    found = read("RAVDESS", ravdess, classes("intensity", "gender", "statement"))
    assert found["03-01-05-02-01-01-07"] == {
        "intensity": "strong",
        "gender": "male",
        "statement": "kids",
    }
    assert found["03-01-01-01-02-02-24"] == {
        "intensity": "normal",
        "gender": "female",
        "statement": "dogs",
    }
    # Half of the recordings of all emotions but neutral are strong.
    assert Counter(u["intensity"] for u in found.values())["strong"] == 7 * 96
    assert set(read("RAVDESS", ravdess, {})["03-01-05-02-01-01-07"]) == set()


def test_the_index_of_nemo_says_gender_and_age(tmp_path):
    counts = write_nemo(tmp_path, takes=1)
    path = tmp_path / "data.tsv"
    corpus = {"counts": counts}
    tasks = classes("gender") | AGE
    found = read("nEMO", tmp_path, tasks, corpus=corpus)
    assert found["WR0_fear_1"] == {"gender": "male", "age": "23"}
    rows = [line.split("\t")[:5] for line in path.read_text().splitlines()]
    path.write_text("".join("\t".join(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match="gender: none of .* has gender"):
        read("nEMO", tmp_path, tasks, corpus=corpus)


def test_real_nemo_has_four_women_and_five_men(shared_data):
    found = read("nEMO", shared_data / "nEMO", classes("gender") | AGE)
    people = {(i[:3], *u.values()) for i, u in found.items()}
    assert Counter(gender for _, gender, _ in people) == {"female": 4, "male": 5}
    assert ("EB0", "female", "27") in people


def test_five_speakers_of_emodb_are_women(tmp_path):
    counts = write_emodb(tmp_path, takes=1)
    found = read("EmoDB", tmp_path, classes("gender"), corpus={"counts": counts})
    women = {i[:2] for i, u in found.items() if u["gender"] == "female"}
    assert women == {"08", "09", "13", "14", "16"}


def test_all_speakers_of_savee_are_men(tmp_path):
    write_savee(tmp_path, sentences=1)
    counts = dict.fromkeys(
        ("anger", "disgust", "fear", "happiness", "sadness", "surprise"), 4
    )
    corpus = {"counts": counts | {"neutral": 8}}
    with pytest.raises(ValueError, match="only the class 'male' .* at least two"):
        read("SAVEE", tmp_path, classes("gender"), corpus=corpus)
    tasks = classes("gender")
    tasks["gender"]["labels"] = ["female", "male"]
    found = read("SAVEE", tmp_path, tasks, corpus=corpus)
    assert [*found.values()] == [{"gender": "male"}] * 32


def test_crema_d_has_the_votes_of_those_who_heard_the_clip(tmp_path, capsys):
    counts = write_crema_d(tmp_path)
    tasks = classes("gender") | AGE | SOFT
    corpus = {"counts": counts}
    found = read("CREMA-D", tmp_path, tasks, corpus=corpus)
    none = dict.fromkeys(("anger", "disgust", "fear", "happy", "neutral", "sad"), "0")
    votes = {f"votes_{k}": v for k, v in (none | {"fear": "9", "neutral": "1"}).items()}
    assert found["1001_IEO_FEA_XX"] == votes | {"gender": "female", "age": "30"}
    assert "Votes: 5,460 of 5,460 are for anger" in capsys.readouterr().out
    path = tmp_path / "processedResults" / "tabulatedVotes.csv"
    path.write_text(path.read_text().replace("100003,0,0,9,", "100003,0,0,nine,"))
    with pytest.raises(ValueError, match=r"Votes.csv, line 6, column F: .*'nine'"):
        read("CREMA-D", tmp_path, tasks, corpus=corpus)
    path.unlink()
    (tmp_path / "VideoDemographics.csv").unlink()
    with pytest.raises(ValueError, match="gender: none of 546 utterances has"):
        read("CREMA-D", tmp_path, tasks, corpus=corpus)


def test_any_further_column_of_a_table_is_an_attribute(tmp_path):
    write_savee(tmp_path, sentences=1)
    rows = ["path,label,speaker,age,votes_sad,dialog"]
    for k, speaker in enumerate(("DC", "JE")):
        for label, name in (("sad", "sa01"), ("angry", "a01")):
            path = f"AudioData/{speaker}/{name}.wav"
            rows.append(f"{path},{label},{speaker},{20 + k},{k},d")
    table = tmp_path / "my.csv"
    table.write_text("\n".join(rows))
    found = read("Custom", tmp_path, classes("age") | SOFT, csv=str(table))
    assert found["AudioData/JE/a01.wav"] == {
        "votes_angry": "0",
        "votes_sad": "1",
        "age": "21",
    }
    assert found["AudioData/DC/a01.wav"] == {"age": "20"}  # no vote at all
    # Columns of every manifest are no attributes.
    with pytest.raises(ValueError, match="dialog: none of 4 utterances has dialog"):
        read("Custom", tmp_path, classes("dialog"), csv=str(table))


def test_joined_corpora_keep_their_attributes_under_shared_labels(
    ravdess, tmp_path, capsys
):
    rows = ["path,label,speaker,gender,votes_joy,votes_sad,votes_boredom"]
    for speaker in ("DC", "JE"):
        for label in ("joy", "sad"):
            rows.append(f"{speaker}-{label}.wav,{label},{speaker},male,1,2,3")
            (tmp_path / f"{speaker}-{label}.wav").write_bytes(
                next(ravdess.rglob("*.wav")).read_bytes()
            )
    (tmp_path / "my.csv").write_text("\n".join(rows))
    corpora = {"RAVDESS": str(ravdess), "mine": str(tmp_path / "my.csv")}
    found = read("Multi", tmp_path, classes("gender") | SOFT, corpora=corpora)
    assert found["RAVDESS/03-01-05-02-01-01-07"] == {"gender": "male"}
    mine = {k: v for k, v in found["mine/DC-joy.wav"].items() if v != "0"}
    assert mine == {"votes_happy": "1", "votes_sad": "2", "gender": "male"}
    # 3 of the 6 votes of each of the four rows are for happy or sad.
    assert "Votes: 12 of 24 are for" in capsys.readouterr().out


def test_the_miniature_iemocap_has_means_and_votes_as_the_release(tmp_path):
    folder = write_miniature_iemocap(tmp_path, 2)
    corpus = {"counts": miniature_counts(2), "part_digests": None}
    value = {"kind": "value", "range": [1, 5]}
    tasks = classes("gender") | SOFT | {"valence": value, "arousal": value}
    found = read("IEMOCAP", folder, tasks, corpus=corpus)
    assert len(found) == 5 * 4 * 2
    for name, attributes in found.items():
        assert attributes["gender"] == {"F": "female", "M": "male"}[name[-4]]
        assert 1 <= float(attributes["arousal"]) <= 5
        votes = [float(v) for k, v in attributes.items() if k.startswith("votes_")]
        assert len(votes) == 4
        assert 2.5 <= sum(votes) <= 3  # a third annotator may doubt
