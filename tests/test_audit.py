"""The split audit: each rule catches a sound fold that is broken in just its way."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from real_index import superb_release

from ser_lib.corpora import Utterance, mapped_corpus
from ser_lib.folds import Fold, audit_folds, superb_folds
from ser_lib.settings import Settings

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
PAIRS = ["train-valid", "train-test", "valid-test"]


def _corpus_of(corpus: str) -> dict:
    text = (RECIPES / corpus / "corpus.yaml").read_text(encoding="utf-8")
    settings = Settings(text).unresolved()
    return mapped_corpus(settings["corpus"], settings.get("label_map") or {})


def _part(*speakers: str) -> list[Utterance]:
    """Two utterances of each speaker and class, with nothing in common."""
    return [
        Utterance(
            id=f"{speaker}_{label}{n}",
            path=f"{speaker}/{label}{n}.wav",
            label=label,
            speaker=speaker,
            duration_s=1.0,
            session=f"session of {speaker}",
            dialog=f"dialog of {speaker}",
            text=f"{speaker} says {label} {n}",
            audio_hash=f"{speaker}{label}{n}",
        )
        for speaker in speakers
        for label in ("calm", "angry")
        for n in (1, 2)
    ]


SOUND = Fold(1, train=_part("A", "B"), valid=_part("C"), test=_part("D"))
CORPUS = {"labels": ["calm", "angry"], "counts": {"calm": 8, "angry": 8}}


def _forbidden(fold: Fold, corpus: dict = CORPUS) -> list[tuple[str, str]]:
    audit = audit_folds([fold], corpus)
    return [(finding.rule, finding.where) for finding in audit.by_verdict("forbidden")]


def test_a_sound_fold_passes_the_strictest_protocol():
    audit = audit_folds([SOUND], CORPUS)
    audit.check()
    assert audit.findings == []
    assert audit.summary() == "Split audit of 1 fold: no violation of the protocol."


def _sharing(field: str, pair: str) -> Fold:
    """The sound fold, but the first utterances of two parts have one field alike."""
    first, second = (SOUND.parts[name] for name in pair.split("-"))
    alike = replace(second[0], **{field: getattr(first[0], field)})
    return replace(SOUND, **{pair.split("-")[1]: [alike, *second[1:]]})


FIELDS = {
    "id": "id",
    "audio": "audio_hash",
    "speaker": "speaker",
    "session": "session",
    "dialog": "dialog",
    "text": "text",
}


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("rule", FIELDS)
def test_what_two_parts_share_is_forbidden_unless_the_protocol_allows_it(rule, pair):
    fold = _sharing(FIELDS[rule], pair)
    assert _forbidden(fold) == [(rule, pair)]
    with pytest.raises(ValueError, match=f"{pair.replace('-', ' and ')} share 1 "):
        audit_folds([fold], CORPUS).check()


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("rule", [rule for rule in FIELDS if rule != "id"])
def test_a_protocol_allows_what_it_names_and_no_more(rule, pair):
    fold = _sharing(FIELDS[rule], pair)
    audit = audit_folds([fold], CORPUS | {"allowed_overlap": {rule: [pair]}})
    audit.check()
    parts = pair.replace("-", " and ")
    assert f"Allowed by the protocol: {parts} share 1 " in audit.summary()
    others = {
        name: [p for p in PAIRS if p != pair or name != rule]
        for name in FIELDS
        if name != "id"
    }
    assert _forbidden(fold, CORPUS | {"allowed_overlap": others}) == [(rule, pair)]


def test_the_error_names_the_value_and_the_utterances_with_their_number():
    leaky = replace(SOUND, test=[replace(u, speaker="B") for u in SOUND.test])
    with pytest.raises(
        ValueError,
        match=r"fold 1: train and test share 1 speaker: B \(4 utterances of the later "
        r"part: D_calm1, D_calm2, D_angry1, D_angry2\)[^$]*list in corpus.yaml what",
    ):
        audit_folds([leaky], CORPUS).check()


def test_a_long_list_of_ids_is_cut_and_counted():
    leaky = replace(SOUND, test=SOUND.train)
    (finding, *_) = audit_folds([leaky], {}).by_verdict("forbidden")
    assert finding.message == (
        "train and test share 8 utterances: A_angry1, A_angry2, A_calm1, A_calm2, "
        "B_angry1, ..."
    )


def test_many_findings_are_cut_and_counted():
    leaky = [replace(SOUND, number=n, test=SOUND.train) for n in (1, 2, 3)]
    audit = audit_folds(leaky, {})
    assert len(audit.by_verdict("forbidden")) == 3 * len(FIELDS)
    with pytest.raises(ValueError, match="18 violations[^$]*- and 8 more"):
        audit.check()


def test_the_same_audio_under_two_names_is_told_with_both():
    with pytest.raises(ValueError, match="1 recording: A_calm1 is the same as D_calm1"):
        audit_folds([_sharing("audio_hash", "train-test")], CORPUS).check()


def test_the_same_audio_twice_in_one_part_is_no_leak_but_noted_once():
    twin = replace(SOUND.train[1], audio_hash=SOUND.train[0].audio_hash)
    fold = replace(SOUND, train=[SOUND.train[0], twin, *SOUND.train[2:]])
    audit = audit_folds([fold, replace(fold, number=2)], CORPUS)
    audit.check()
    assert audit.summary().count("Noted: the same audio is in A_calm1, A_calm2.") == 1


def test_texts_are_compared_by_their_words():
    train = [replace(SOUND.train[0], text="Don't you  DARE!"), *SOUND.train[1:]]
    test = [replace(SOUND.test[0], text="don't you dare."), *SOUND.test[1:]]
    fold = replace(SOUND, train=train, test=test)
    assert _forbidden(fold) == [("text", "train-test")]


def test_what_a_corpus_does_not_tell_is_not_compared_and_said():
    bare = {"session": "", "dialog": "", "text": "", "audio_hash": ""}
    parts = {k: [replace(u, **bare) for u in v] for k, v in SOUND.parts.items()}
    audit = audit_folds([Fold(1, **parts)], CORPUS)
    audit.check()
    assert audit.summary().endswith(
        "Not compared, because unknown: recordings, sessions, dialogs, texts."
    )


@pytest.mark.parametrize("part", ["train", "valid", "test"])
def test_a_part_without_one_of_the_classes_is_forbidden(part):
    calm = [replace(u, label="calm") for u in SOUND.parts[part]]
    fold = replace(SOUND, **{part: calm})
    counts = Counter(u.label for p in fold.parts.values() for u in p)
    assert _forbidden(fold, {**CORPUS, "counts": counts}) == [("classes", part)]
    with pytest.raises(ValueError, match=f"{part} part has no utterance .* angry; exp"):
        audit_folds([fold], {}).check()  # the classes are then those of the fold


def test_a_class_of_corpus_yaml_that_no_part_has_is_forbidden():
    corpus = {"labels": ["calm", "angry", "sad"]}
    assert _forbidden(SOUND, corpus) == [("classes", part) for part in SOUND.parts]


def test_an_utterance_that_got_lost_is_found_by_the_counts():
    fold = replace(SOUND, train=SOUND.train[1:])
    assert _forbidden(fold) == [("counts", "fold")]
    with pytest.raises(
        ValueError,
        match=r"15 utterances, counts in corpus.yaml say 16 \(calm: expected 8, f",
    ):
        audit_folds([fold], CORPUS).check()


def test_an_utterance_too_many_or_of_an_unknown_class_is_found_by_the_counts():
    other = replace(SOUND.train[0], id="new", label="sad", text="new", audio_hash="new")
    assert _forbidden(replace(SOUND, train=[*SOUND.train, other])) == [
        ("counts", "fold")
    ]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"speakers": ["train-valid"]}, r"has 'speakers'; choose from \['audio'"),
        ({"id": ["train-valid"]}, "has 'id'; choose from"),
        ({"speaker": ["valid-train"]}, r"speaker: \['valid-train'\]; expected a list"),
        ({"speaker": "train-valid"}, "speaker: 'train-valid'; expected a list"),
    ],
)
def test_a_misspelt_protocol_is_refused(block, message):
    with pytest.raises(ValueError, match=message):
        audit_folds([SOUND], {"allowed_overlap": block})


def test_superbs_folds_pass_and_what_they_share_is_printed_as_allowed(shared_data):
    five = superb_folds(superb_release(shared_data))
    audit = audit_folds(five, _corpus_of("IEMOCAP"))
    audit.check()
    assert audit.summary().splitlines() == [
        "Split audit of 5 folds: no violation of the protocol.",
        "Allowed by the protocol: train and valid share 8 speakers, 4 sessions, "
        "117 to 121 dialogs.",
        "Not compared, because unknown: recordings, texts.",
    ]
    strictest = audit_folds(five, {}).by_verdict("forbidden")
    assert Counter((f.rule, f.where) for f in strictest) == {
        ("speaker", "train-valid"): 5,
        ("session", "train-valid"): 5,
        ("dialog", "train-valid"): 5,
    }
