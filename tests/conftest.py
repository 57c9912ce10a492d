"""Fixtures that several test files use."""

import signal
from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread_and_a_fixed_seed():
    """Make sums independent of the number of cores, and every test of the others."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored under nohup
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real development data beside the checkout: not part of the project."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the development data (RAVDESS, SUPERB digests) in {folder}")
    return folder
