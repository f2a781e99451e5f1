"""`carnet version`."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as find_version
from platform import python_version

from carnet.cli.command import Answer, command_without_home
from carnet.cli.terminal import Terminal
from carnet_protocol.suites import READABLE_SUITES


@command_without_home
def version(terminal: Terminal) -> Answer:
    """Say which version of Carnet this is, and which suites of cryptography it has."""
    del terminal
    try:
        number = find_version("carnet")
    except PackageNotFoundError:
        number = "unknown"
    suites = sorted(int(suite) for suite in READABLE_SUITES)
    return Answer(
        {"version": number, "python": python_version(), "suites": suites},
        [f"Carnet {number}, Python {python_version()}, suites {', '.join(map(str, suites))}"],
    )
