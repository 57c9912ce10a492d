"""Fixtures shared by several test files."""

import signal
from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread_and_a_fixed_seed():
    """Make sums independent of the number of cores, and tests of each other."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored under nohup
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real development data, which is not in the project."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the development data (RAVDESS, SUPERB digests) in {folder}")
    return folder
