"""The pictures show every cell, every fold and every averaged epoch."""

import numpy as np
import pandas as pd
import pytest

from ser_lib.evaluation.plots import confusion_figure, learning_curves_figure

EIGHT = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]


def make_history(n_epochs: int) -> pd.DataFrame:
    epochs = np.arange(1, n_epochs + 1)
    return pd.DataFrame(
        {
            "epoch": epochs,
            "train_loss": 1 / epochs,
            "valid_loss": 1.1 / epochs,
            "valid_accuracy": 1 - 0.5 / epochs,
        }
    )


def assert_nothing_is_cut_off(figure):
    figure.draw_without_rendering()
    drawn, whole = figure.get_tightbbox(), figure.bbox_inches
    assert drawn.x0 >= 0 and drawn.y0 >= 0
    assert drawn.x1 <= whole.x1 and drawn.y1 <= whole.y1


def test_each_cell_shows_the_share_of_its_true_class_and_the_count():
    figure = confusion_figure(np.array([[3, 1], [0, 2]]), ["a", "b"], "title")
    cells = [text.get_text() for text in figure.axes[0].texts]
    assert cells == ["75.0 %\n3", "25.0 %\n1", "0.0 %\n0", "100.0 %\n2"]
    assert figure.axes[0].get_xlabel() == "predicted"
    assert figure.axes[0].get_ylabel() == "true"


def test_text_is_white_on_dark_cells_and_black_on_light_ones():
    figure = confusion_figure(np.array([[9, 1], [0, 2]]), ["a", "b"], "title")
    colours = [text.get_color() for text in figure.axes[0].texts]
    assert colours == ["white", "black", "black", "white"]


@pytest.mark.parametrize("labels", [["a", "b"], EIGHT])
def test_nothing_of_the_confusion_matrix_is_cut_off(labels):
    counts = np.full((len(labels), len(labels)), 1234)
    title = "RAVDESS, a long name of an experiment, seed 1986, averaged, 6 folds"
    assert_nothing_is_cut_off(confusion_figure(counts, labels, title))


@pytest.mark.parametrize("n_folds", [1, 6, 24])
def test_nothing_of_the_learning_curves_is_cut_off(n_folds):
    histories = {fold: make_history(30) for fold in range(1, n_folds + 1)}
    averaged = {fold: [28, 30] for fold in histories}
    assert_nothing_is_cut_off(learning_curves_figure(histories, averaged, "RAVDESS"))


def test_there_is_a_line_for_each_fold_and_a_dot_for_each_averaged_epoch():
    histories = {1: make_history(4), 3: make_history(6)}
    figure = learning_curves_figure(histories, {1: [3, 4], 3: [6]}, "title")
    names = [axes.get_title() for axes in figure.axes]
    assert names == ["training loss", "validation loss", "validation accuracy"]
    accuracy = figure.axes[2]
    assert [len(line.get_xdata()) for line in accuracy.lines] == [4, 6]
    dots = [dots.get_offsets().tolist() for dots in accuracy.collections]
    assert dots == [[[3, 1 - 0.5 / 3], [4, 0.875]], [[6, 1 - 0.5 / 6]]]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["fold 1", "fold 3", "averaged"]


@pytest.mark.parametrize("n_epochs", [1, 2, 30])
def test_epochs_are_whole_numbers_on_the_axis(n_epochs):
    figure = learning_curves_figure({1: make_history(n_epochs)}, {1: [1]}, "title")
    ticks = figure.axes[0].get_xticks()
    assert (ticks == ticks.round()).all()
