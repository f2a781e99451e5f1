"""Options that several commands have, in the same words."""

import platform
from typing import Annotated, Final

from typer import Option

_LONGEST: Final = 40

CardOption = Annotated[
    str, Option("--card", metavar="CARD", help="The service card: a file, or https:// and a server of it.")
]
DeviceNameOption = Annotated[
    str | None, Option("--device-name", metavar="NAME", help="What to call this machine; only you see it.")
]


def name_device(wanted: str | None) -> str:
    """What to call this machine: as was `wanted`, else as it calls itself."""
    return wanted or platform.node()[:_LONGEST] or "computer"
