"""Keeps the surroundings of a run out of its tests.

What was exported in a shell to change where programs connect and how they write is gone before the first test is
collected, for the programs that tests start as well. pytest itself has looked at its colours by then. A server's
log that a test began within this process ends with it: what libraries say later would go to a file that is closed.
"""

import logging
import os
from collections.abc import Iterator

import pytest

_WRITING = {"FORCE_COLOR", "NO_COLOR", "COLUMNS"}


def pytest_sessionstart() -> None:
    """Forgets the proxies, colours and width that somebody asked for, in the process that leads and in each worker."""
    for name in list(os.environ):
        if name in _WRITING or name.lower().endswith("_proxy"):
            del os.environ[name]


@pytest.fixture(autouse=True)
def _libraries_speak_as_before() -> Iterator[None]:
    """Takes away what `carnet_server.logs` put into the logging of the process, and gives back its level."""
    root = logging.getLogger()
    level = root.level
    yield
    root.handlers[:] = [handler for handler in root.handlers if type(handler).__module__ != "carnet_server.logs"]
    root.setLevel(level)
