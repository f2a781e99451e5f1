"""Starts a program that ends when the one who asked for it ends, however that happens.

    python -m carnet.deployment.tether PARENT PROGRAM ARGUMENTS...

On Linux the kernel then sends SIGTERM; elsewhere the program is merely started. A server that outlived a killed
`carnet up` would keep its port and its database.
"""

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def main(arguments: list[str]) -> None:
    """Become the program in `arguments`, tied to the process whose id comes first."""
    parent, program = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # gone before it was tied
            sys.exit(1)
    os.execv(program[0], program)  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
