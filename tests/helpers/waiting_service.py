"""Run the command of the service with the stub model, which waits for a file.

python waiting_service.py FILE MODEL --option ...
"""

import sys
import time
from pathlib import Path

from stub_recognizer import StubRecognizer

from ser_lib import inference
from ser_lib.serve.__main__ import main
from ser_lib.utils.command import run_command


class WaitingRecognizer(StubRecognizer):
    """Answers when the file is there."""

    def answer_batch(self, *batch):
        while not Path(sys.argv[1]).exists():
            time.sleep(0.01)
        return super().answer_batch(*batch)


if __name__ == "__main__":
    inference.load_recognizer = lambda source, device: WaitingRecognizer()
    run_command(main, arguments=sys.argv[2:])
