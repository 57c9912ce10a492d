"""Print the number of windows and the peak memory in MB after each file's timeline."""

import resource
import sys

import torch
from stub_recognizer import StubRecognizer

from ser_lib.inference import timeline_file

if __name__ == "__main__":
    torch.set_num_threads(1)
    recognizer = StubRecognizer(sample_rate_hz=2000)
    for path in sys.argv[1:]:
        timeline = timeline_file(recognizer, path)
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(len(timeline.windows), peak_mb)
