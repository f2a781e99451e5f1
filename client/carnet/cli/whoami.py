"""`carnet whoami`."""

from pathlib import Path
from typing import Annotated

from rich.text import Text
from typer import Option

from carnet.card import load_card
from carnet.cli.command import Answer, Desk, command
from carnet.cli.ids import format_person
from carnet.cli.plain import plain
from carnet.cli.terminal import facts
from carnet.keyring import load_keyring_identity
from carnet.qr import format_qr_text
from carnet.short_code import derive_short_code, format_short_code
from carnet.whole_file import replace_file


@command
def whoami(
    desk: Desk,
    *,
    save: Annotated[
        Path | None,
        Option("--save", metavar="FILE", help="Write your public statements to FILE, for a registrar or a patient."),
    ] = None,
    qr: Annotated[bool, Option("--qr/--no-qr", help="Show the QR code.")] = True,
) -> Answer:
    """Show who lives here: the identity, as text and QR code, and the short code to compare in person.

    None of this is secret. Somebody who is to let you in, or whom you ask to attest you, needs the identity; you both
    compare the short code, aloud or on both screens.
    """
    desk.check_home()
    identity = load_keyring_identity(desk.home)
    card = load_card(desk.home)
    code = format_short_code(derive_short_code(identity))
    members: dict[str, object] = {
        "identity": str(identity),
        "short_code": code,
        "home": str(desk.home.path),
        "service": card.body.name,
    }
    shown = [
        facts(
            ("Identity", str(identity)),
            ("Short code", Text(code, style="bold")),
            ("Home", plain(str(desk.home.path))),
            ("Service", plain(card.body.name)),
        )
    ]
    if save is not None:
        with desk.open_session() as session:
            replace_file(save, format_person(session.keyring.body.person), mode=0o644)
        members["saved"] = str(save)
    if qr and desk.terminal.console.is_terminal:
        return Answer(members, [*shown, Text.from_ansi(format_qr_text(str(identity)))])
    return Answer(members, shown)
