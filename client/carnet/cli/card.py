"""`carnet card`."""

from typing import Annotated

from rich.console import RenderableType
from rich.text import Text
from typer import Argument

from carnet.card import fetch_card, load_card, pin_card
from carnet.cli.command import Answer, Desk, command
from carnet.cli.plain import plain
from carnet.cli.running import make_group
from carnet.cli.terminal import facts
from carnet.cli.times import format_time
from carnet_protocol.ids import Ed25519PublicKey
from carnet_protocol.statements import ServiceCard, Signed

card = make_group("Show the service card, or take a newer one.")
SourceArgument = Annotated[str, Argument(metavar="CARD", help="A file, or https:// and a server of the deployment.")]


@card.command("show")
@command
def show_card(
    desk: Desk,
    source: Annotated[
        str | None, Argument(metavar="CARD", help="A file, or https:// and a server; the one you use, if not given.")
    ] = None,
) -> Answer:
    """Show a service card: which servers, which registrars, and the fingerprint of the key that signed it."""
    return _answer(load_card(desk.home) if source is None else fetch_card(source))


@card.command("take")
@command
def take_card(desk: Desk, source: SourceArgument) -> Answer:
    """Take a newer card of the same deployment, for example after its servers moved.

    Only a card that the same key signed, with a higher serial, is taken.
    """
    found = fetch_card(source)
    load_card(desk.home)
    with desk.home.lock():
        pin_card(desk.home, found)
    return _answer(found)


def _answer(found: Signed[ServiceCard]) -> Answer:
    body = found.body
    fingerprint = str(Ed25519PublicKey(body.card_key.raw).fingerprint())
    registrars = [str(Ed25519PublicKey(key.raw).fingerprint()) for key in body.registrars]
    pairs: list[tuple[str, RenderableType]] = [
        ("Service", Text(plain(body.name), style="bold")),
        ("Card key", fingerprint),
        ("Serial", f"{body.serial}, of {format_time(body.issued_at)}"),
        ("Vault", f"{body.vault.origin}  {body.vault.fingerprint()}"),
        ("Key service", f"{body.keyservice.origin}  {body.keyservice.fingerprint()}"),
        *(("Registrar", registrar) for registrar in registrars),
        ("Suite", f"{body.write_suite}; nothing below {body.suite_floor}"),
    ]
    return Answer(
        {
            "name": body.name,
            "serial": body.serial,
            "issued_at": body.issued_at,
            "card_fingerprint": fingerprint,
            "vault": {"origin": body.vault.origin, "fingerprint": str(body.vault.fingerprint())},
            "keyservice": {"origin": body.keyservice.origin, "fingerprint": str(body.keyservice.fingerprint())},
            "registrars": registrars,
            "suite_floor": body.suite_floor,
            "write_suite": body.write_suite,
        },
        [facts(*pairs)],
    )
