"""The bootstrap over speakers on cases with a known answer, and against scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ser_lib.evaluation import group_difference, paired_difference
from ser_lib.evaluation.bootstrap import bootstrap_interval

LABELS = ["a", "b"]


def make_predictions(speakers: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """Speaker -> (truth, prediction), one letter for each utterance."""
    rows = [
        {"id": f"{speaker}{i}", "speaker": speaker, "label": t, "prediction": p}
        for speaker, (truth, predicted) in speakers.items()
        for i, (t, p) in enumerate(zip(truth, predicted, strict=True))
    ]
    return pd.DataFrame(rows)


def make_random_predictions(n_speakers: int, seed: int, share: float) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    table = make_predictions(
        {f"{s:02}": ("ab" * 10, "ab" * 10) for s in range(n_speakers)}
    )
    wrong = generator.random(len(table)) >= share
    other = table["label"].map({"a": "b", "b": "a"})
    return table.assign(prediction=table["label"].mask(wrong, other))


@pytest.mark.parametrize("metric", ["WA", "UA", "macro_F1"])
def test_speakers_who_are_all_alike_give_an_interval_without_width(metric):
    table = make_predictions(dict.fromkeys("12345", ("aabb", "aaba")))
    low, high = bootstrap_interval(table, metric, LABELS)
    assert low == high
    assert low == pytest.approx(
        {"WA": 0.75, "UA": 0.75}.get(metric, 11 / 15), abs=1e-12
    )


def test_one_perfect_and_one_hopeless_speaker_give_0_to_1():
    table = make_predictions({"1": ("ab", "ab"), "2": ("ab", "ba")})
    assert bootstrap_interval(table, "WA", LABELS) == (0.0, 1.0)
    assert bootstrap_interval(table, "UA", LABELS) == (0.0, 1.0)


def test_as_many_speakers_are_drawn_as_there_are():
    right, wrong = ("ab", "ab"), ("ab", "ba")
    table = make_predictions({"1": right, "2": wrong, "3": wrong, "4": wrong})
    # The perfect speaker is drawn k of 4 times: k = 4 in 0.4 %, k >= 3 in 5.1 % and
    # k = 0 in 31.6 % of the draws.
    assert bootstrap_interval(table, "WA", LABELS) == (0.0, 0.75)


def test_a_speaker_without_one_of_the_classes_does_not_break_the_interval():
    # Draws of speaker 2 alone hold no "a": their UA is the recall of "b".
    table = make_predictions({"1": ("aabb", "abab"), "2": ("bb", "bb")})
    assert bootstrap_interval(table, "UA", LABELS) == (0.5, 1.0)


def test_one_speaker_alone_has_no_interval():
    low, high = bootstrap_interval(make_predictions({"1": ("ab", "ab")}), "WA", LABELS)
    assert np.isnan(low) and np.isnan(high)


def test_the_interval_is_repeatable_and_does_not_depend_on_the_order_of_rows():
    table = make_random_predictions(n_speakers=6, seed=1, share=0.7)
    interval = bootstrap_interval(table, "UA", LABELS, seed=3)
    shuffled = table.sample(frac=1, random_state=0)
    assert bootstrap_interval(shuffled, "UA", LABELS, seed=3) == interval


def test_a_higher_level_gives_a_wider_interval():
    table = make_random_predictions(n_speakers=8, seed=2, share=0.7)
    low_90, high_90 = bootstrap_interval(table, "WA", LABELS, level=0.90)
    low_99, high_99 = bootstrap_interval(table, "WA", LABELS, level=0.99)
    assert low_99 < low_90 < high_90 < high_99


def test_the_interval_agrees_with_the_percentile_bootstrap_of_scipy():
    # With 20 utterances each, the WA of a draw is the mean of the speakers' WAs.
    table = make_random_predictions(n_speakers=12, seed=0, share=0.7)
    correct = table["label"] == table["prediction"]
    per_speaker = correct.groupby(table["speaker"]).mean().to_numpy()
    expected = stats.bootstrap(
        (per_speaker,), np.mean, n_resamples=20000, method="percentile", rng=0
    ).confidence_interval
    found = bootstrap_interval(table, "WA", LABELS, n_resamples=20000)
    # The ends of 20000 draws vary by about 0.0005 from seed to seed.
    assert found == pytest.approx(tuple(expected), abs=0.004)
    assert expected.high - expected.low > 0.05


def test_an_unknown_metric_is_named():
    table = make_predictions({"1": ("ab", "ab"), "2": ("ab", "ab")})
    with pytest.raises(ValueError, match="metric is 'EER', expected one of.*'UA'"):
        bootstrap_interval(table, "EER", LABELS)


def test_the_same_predictions_do_not_differ():
    table = make_random_predictions(n_speakers=6, seed=0, share=0.7)
    result = paired_difference(table, table.iloc[::-1], "UA", LABELS)
    assert (result.difference, result.low, result.high) == (0.0, 0.0, 0.0)
    assert result.p_value == 1.0


def test_a_difference_that_every_speaker_shares_is_certain():
    better = make_predictions(dict.fromkeys("123456", ("aabb", "aabb")))
    worse = make_predictions(dict.fromkeys("123456", ("aabb", "aaba")))
    result = paired_difference(better, worse, "WA", LABELS, n_resamples=999)
    assert (result.difference, result.low, result.high) == (0.25, 0.25, 0.25)
    # No draw on the other side: 2 * (0 + 1) / (999 + 1).
    assert result.p_value == pytest.approx(0.002, abs=1e-12)
    assert paired_difference(worse, better, "WA", LABELS).difference == -0.25


def test_equal_wins_and_losses_are_no_difference():
    right, wrong = ("ab", "ab"), ("ab", "ba")
    a = make_predictions({"1": right, "2": wrong, "3": right, "4": wrong})
    b = make_predictions({"1": wrong, "2": right, "3": wrong, "4": right})
    result = paired_difference(a, b, "UA", LABELS)
    assert result.difference == 0.0
    assert (result.low, result.high) == (-1.0, 1.0)
    assert result.p_value > 0.9


def test_one_speaker_alone_gives_a_difference_without_interval():
    a = make_predictions({"1": ("ab", "ab")})
    b = make_predictions({"1": ("ab", "aa")})
    result = paired_difference(a, b, "WA", LABELS)
    assert result.difference == 0.5
    assert np.isnan([result.low, result.high, result.p_value]).all()


def test_other_utterances_are_refused_with_their_number():
    a = make_predictions({"1": ("ab", "ab"), "2": ("ab", "ab")})
    b = make_predictions({"1": ("ab", "ab"), "3": ("abb", "abb")})
    with pytest.raises(ValueError, match="4 and 5 rows, 2 only in.*first and 3 only"):
        paired_difference(a, b, "WA", LABELS)


@pytest.mark.parametrize("changed", [{"label": "a"}, {"speaker": "9"}])
def test_another_truth_or_speaker_for_the_same_utterance_is_refused(changed):
    a = make_predictions({"1": ("ab", "ab"), "2": ("ab", "ab")})
    b = a.copy()
    b.loc[3, list(changed)] = list(changed.values())
    with pytest.raises(ValueError, match="1 utterances have another .* first is 21"):
        paired_difference(a, b, "WA", LABELS)


# ---- groups of utterances

PERFECT, HOPELESS, HALF = ("ab", "ab"), ("ab", "ba"), ("ab", "aa")


def test_speakers_with_utterances_in_both_groups_are_drawn_once_for_both():
    """Each is worse by half in the second group: certain only if drawn in pairs."""
    first = make_predictions({"1": PERFECT, "2": HALF})
    second = make_predictions({"1": HALF, "2": HOPELESS})
    assert group_difference(first, second, "UA", LABELS) == (0.5, 0.5, 0.5)


def test_speakers_of_one_group_are_drawn_apart_from_those_of_the_other():
    """With two speakers each, a quarter of the draws is all perfect or all hopeless."""
    first = make_predictions({"1": PERFECT, "2": HOPELESS})
    second = make_predictions({"3": PERFECT, "4": HOPELESS})
    assert group_difference(first, second, "UA", LABELS) == (0, -1, 1)


def test_a_group_of_one_speaker_has_a_difference_without_interval():
    first = make_predictions({"1": PERFECT, "2": PERFECT})
    found = group_difference(first, make_predictions({"3": HALF}), "UA", LABELS)
    assert found[0] == 0.5
    assert np.isnan(found[1:]).all()
