"""Ctrl-C that a library swallows still ends training, encoding and prediction."""

import contextlib
import os
import signal

import pytest
import torch
from speechbrain.dataio.batch import PaddedBatch

from ser_lib.dataio import encode_all
from ser_lib.predict.__main__ import _write_all
from ser_lib.training.resumable_brain import ResumableBrain
from ser_lib.upstreams import FbankUpstream
from ser_lib.utils.command import STARTS_OVER, raise_if_interrupted, run_command


@pytest.fixture(autouse=True)
def own_handler():
    """Let the command install its handler, and remove it afterwards."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def exit_code(main) -> int:
    try:
        run_command(main, arguments=[])
    except SystemExit as stopped:
        return stopped.code
    return 0


def press_ctrl_c_in_a_library() -> None:
    with contextlib.suppress(BaseException):  # as some libraries have it
        os.kill(os.getpid(), signal.SIGINT)


def train_a_batch() -> None:
    brain = ResumableBrain(hparams={}, run_opts={"device": "cpu"})
    brain.on_fit_batch_start(None, should_step=True)


def encode_a_batch() -> None:
    batch = PaddedBatch([{"id": "a", "wav": torch.randn(16000)}])
    list(encode_all([batch], FbankUpstream(), "frames", "cpu", progressbar=False))


def write_a_row() -> None:
    _write_all(iter([None]), output=None, n=1)


@pytest.mark.parametrize("work", [train_a_batch, encode_a_batch, write_a_row])
def test_ctrl_c_that_a_library_swallowed_ends_the_next_step(work, capsys):
    def main(arguments):
        press_ctrl_c_in_a_library()
        work()

    assert exit_code(main) == 130
    assert capsys.readouterr().err.endswith("Interrupted. " + STARTS_OVER + "\n")


def test_a_command_does_not_remember_the_ctrl_c_of_the_one_before():
    assert exit_code(lambda arguments: press_ctrl_c_in_a_library()) == 0
    assert exit_code(lambda arguments: raise_if_interrupted()) == 0


def test_what_a_library_makes_of_ctrl_c_is_still_an_interruption(capsys):
    def main(arguments):
        press_ctrl_c_in_a_library()
        raise RecursionError("in a lazy import")

    assert exit_code(main) == 130
    assert capsys.readouterr().err == f"Interrupted. {STARTS_OVER}\n"
