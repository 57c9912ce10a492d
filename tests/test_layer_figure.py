"""The figure of an encoder's hidden states."""

import pandas as pd
import pytest

from ser_lib.evaluation.layer_figure import layer_figure, main


def rows(experiment: str, ua: float) -> list[dict]:
    fold = {"experiment": experiment, "fold": "1", "UA": 1.0}
    ends = {"UA_low": ua - 3, "UA_high": ua + 4}
    return [fold, {"experiment": experiment, "fold": "pooled", "UA": ua, **ends}]


def test_each_state_has_its_pooled_score_in_order():
    table = [*rows("frozen_layer_2", 72.0), *rows("frozen_layer_0", 60.0)]
    figure = layer_figure(pd.DataFrame([*table, *rows("frozen", 75.0)]))
    (line, *_) = figure.axes[0].containers[0].lines
    assert line.get_xdata().tolist() == [0.0, 2.0]
    assert line.get_ydata().tolist() == [60.0, 72.0]
    (bars,) = figure.axes[0].containers[0].lines[2]
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [
        [57.0, 64.0],
        [69.0, 76.0],
    ]


def test_the_command_writes_a_picture(tmp_path):
    path = tmp_path / "layers.csv"
    pd.DataFrame(rows("frozen_layer_1", 70.0)).to_csv(path, index=False)
    main([str(path), str(tmp_path / "layers.png")])
    assert (tmp_path / "layers.png").read_bytes().startswith(b"\x89PNG")


def test_results_without_states_are_refused():
    with pytest.raises(
        ValueError, match="ends in _layer_ and a number; they have frozen"
    ):
        layer_figure(pd.DataFrame(rows("frozen", 75.0)))
