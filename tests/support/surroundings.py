"""Keeps the surroundings of a run out of its tests.

What was exported in a shell to change where programs connect and how they write is gone before the first test is
collected, for the programs that tests start as well. pytest itself has looked at its colours by then.
"""

import os

_WRITING = {"FORCE_COLOR", "NO_COLOR", "COLUMNS"}


def pytest_sessionstart() -> None:
    """Forgets the proxies, colours and width that somebody asked for, in the process that leads and in each worker."""
    for name in list(os.environ):
        if name in _WRITING or name.lower().endswith("_proxy"):
            del os.environ[name]
