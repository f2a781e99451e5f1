"""`carnet init`."""

from typing import Annotated

from rich.console import RenderableType
from rich.text import Text
from typer import Option

from carnet.cli.command import Answer, Desk, command
from carnet.cli.options import CardOption, DeviceNameOption, FingerprintOption, name_device, take_card
from carnet.cli.passphrases import choose_passphrase
from carnet.cli.plain import plain
from carnet.cli.terminal import facts
from carnet.errors import TransportError
from carnet.identity import check_free, make_identity, register
from carnet.session import Session
from carnet.short_code import derive_short_code, format_short_code
from carnet_protocol.ids import Ed25519PublicKey, Fingerprint
from carnet_protocol.statements import Role, ServiceCard, Signed


@command
def init(
    desk: Desk,
    *,
    card: CardOption,
    fingerprint: FingerprintOption = None,
    practitioner: Annotated[bool, Option("--practitioner", help="For somebody who treats patients.")] = False,
    device_name: DeviceNameOption = None,
) -> Answer:
    r"""Make an identity on this machine: its keys, sealed under a passphrase.

    The service card says which servers there are and whose word on practitioners counts. It is believed once, here, so
    take it from somebody you trust, and give its fingerprint if you were told it.

    \b
    Examples:
      carnet init --card card.jws
      carnet --home ~/.carnet-doctor init --card https://vault.example --practitioner
    """
    check_free(desk.home)
    service = take_card(card, fingerprint)
    passphrase = choose_passphrase(desk.terminal, desk.passphrase_file)
    session = make_identity(
        desk.home,
        service,
        Role.PRACTITIONER if practitioner else Role.PATIENT,
        passphrase=passphrase,
        device_name=name_device(device_name),
    )
    with session:
        is_registered = _register(desk, session)
        return _answer(desk, session, service, is_registered=is_registered, is_checked=fingerprint is not None)


def _register(desk: Desk, session: Session) -> bool:
    try:
        register(session)
    except TransportError as error:
        desk.terminal.say(f"The servers do not know you yet ({error}); your next command tells them.", style="yellow")
        return False
    return True


def _fingerprint_of(card: Signed[ServiceCard]) -> Fingerprint:
    return Ed25519PublicKey(card.body.card_key.raw).fingerprint()


def _answer(
    desk: Desk, session: Session, card: Signed[ServiceCard], *, is_registered: bool, is_checked: bool
) -> Answer:
    code = format_short_code(derive_short_code(session.identity))
    is_patient = session.keyring.body.role is Role.PATIENT
    shown: list[RenderableType] = [
        Text(f"You are a {session.keyring.body.role.value}, at home in {plain(str(desk.home.path))}."),
        facts(
            ("Identity", str(session.identity)),
            ("Short code", code),
            ("Service", plain(card.body.name)),
            ("Card key", str(_fingerprint_of(card)) + ("" if is_checked else "  (compare it with what you were told)")),
        ),
        Text(
            "Next: `carnet record open`, then `carnet recovery kit kit.pdf`, so that a lost machine loses nothing."
            if is_patient
            else "Next: `carnet whoami --save me.json`, and have the registrar attest it.",
            style="dim",
        ),
    ]
    return Answer(
        {
            "identity": str(session.identity),
            "role": session.keyring.body.role.value,
            "short_code": code,
            "home": str(desk.home.path),
            "card_fingerprint": str(_fingerprint_of(card)),
            "registered": is_registered,
        },
        shown,
    )
