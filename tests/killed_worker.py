"""The command line, whose second process is killed once in the middle of the third update; started by torchrun."""

import os
import signal
import sys
from unittest.mock import patch

from fewstep import cli, training

step = training._step


def killed_in_the_third_update(*arguments: object) -> None:
    """As `_step`, where it comes back."""
    if (os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"], arguments[-1]) == ("1", "0", 2):
        os.kill(os.getpid(), signal.SIGKILL)
    step(*arguments)


if __name__ == "__main__":
    with patch.object(training, "_step", killed_in_the_third_update):
        sys.exit(cli.main(sys.argv[1:]))
