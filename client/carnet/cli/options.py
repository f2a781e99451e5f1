"""Options that several commands have, in the same words."""

import platform
from typing import Annotated, Final

from typer import Option

from carnet.card import check_card_key, fetch_card
from carnet.cli.ids import parse_fingerprint
from carnet_protocol.statements import ServiceCard, Signed

_LONGEST: Final = 40

CardOption = Annotated[
    str, Option("--card", metavar="CARD", help="The service card: a file, or https:// and a server of it.")
]
FingerprintOption = Annotated[
    str | None,
    Option("--fingerprint", metavar="TEXT", help="The card key's fingerprint, if you were told it."),
]
DeviceNameOption = Annotated[
    str | None, Option("--device-name", metavar="NAME", help="What to call this machine; only you see it.")
]


def take_card(source: str, fingerprint: str | None) -> Signed[ServiceCard]:
    """The service card at `source`, signed by the key with `fingerprint`, if a person was told that.

    Raises `UsageError`, `VerificationError` or what fetching raises.
    """
    card = fetch_card(source)
    if fingerprint is not None:
        check_card_key(card, parse_fingerprint(fingerprint))
    return card


def name_device(wanted: str | None) -> str:
    """What to call this machine: as was `wanted`, else as it calls itself."""
    return wanted or platform.node()[:_LONGEST] or "computer"
