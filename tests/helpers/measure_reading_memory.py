"""Print the samples of each file at 16 kHz, and the peak MB of reading so far."""

import resource
import sys

import torch

from ser_lib.audio import read_audio


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    torch.set_num_threads(1)
    before_mb = peak_mb()
    for path in sys.argv[1:]:
        wav = read_audio(path, 16000)
        print(len(wav), peak_mb() - before_mb)
