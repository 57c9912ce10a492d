"""Run the command line with the stub model; wait for a line of input in each batch.

python waiting_predict.py MODEL INPUT... --option ...
"""

import sys

import torch
from stub_recognizer import StubRecognizer

from ser_lib.predict import __main__ as predict


class WaitingRecognizer(StubRecognizer):
    """Announces each batch, then waits for a line of input."""

    def answer_batch(self, *batch):
        print("at work", file=sys.stderr, flush=True)
        sys.stdin.readline()
        return super().answer_batch(*batch)


if __name__ == "__main__":
    torch.set_num_threads(1)
    predict.load_recognizer = lambda source, device: WaitingRecognizer()
    sys.exit(predict.main(sys.argv[1:]))
