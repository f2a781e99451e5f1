"""The `carnet` command.

`main` finds the command that is asked for, loads that one alone, and turns whatever it raises into a message on
standard error and an exit code of the one table in `carnet.cli.exits`.
"""

from carnet.cli.entry import main

__all__ = ["main"]
