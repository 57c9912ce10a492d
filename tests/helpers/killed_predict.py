"""Run the command line with the stub model; SIGKILL itself in the n-th batch.

python killed_predict.py N MODEL INPUT... --option ...
"""

import os
import signal
import sys

import torch
from stub_recognizer import StubRecognizer

from ser_lib.predict import __main__ as predict


class DyingRecognizer(StubRecognizer):
    """Dies in a batch, after appending half a line to the output."""

    n_left = 0

    def answer_batch(self, wavs, wav_lens, names=None):
        type(self).n_left -= 1
        if self.n_left == 0:
            with open(sys.argv[sys.argv.index("--out") + 1], "a") as f:
                f.write('{"path": "half a')
            os.kill(os.getpid(), signal.SIGKILL)
        return super().answer_batch(wavs, wav_lens, names)


if __name__ == "__main__":
    torch.set_num_threads(1)
    DyingRecognizer.n_left = int(sys.argv[1])
    predict.load_recognizer = lambda source, device: DyingRecognizer()
    sys.exit(predict.main(sys.argv[2:]))
