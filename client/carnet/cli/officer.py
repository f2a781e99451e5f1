"""`carnet officer`."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum, unique
from pathlib import Path
from typing import Annotated

from rich.console import RenderableType
from rich.text import Text
from typer import Argument, Option

from carnet.cli.command import Answer, Desk, command
from carnet.cli.files import read_file
from carnet.cli.ids import parse_officer
from carnet.cli.officer_home import check_home, open_home
from carnet.cli.officer_papers import destruction, report
from carnet.cli.options import CardOption, FingerprintOption, take_card
from carnet.cli.passphrases import choose_passphrase
from carnet.cli.plain import plain
from carnet.cli.running import make_group
from carnet.cli.terminal import facts, table
from carnet.cli.times import format_span, format_time
from carnet.officer import (
    Officer,
    format_officer_key,
    load_officer_public_key,
    make_officer,
    parse_officer_key,
)
from carnet.session import open_servers, read_clock
from carnet.transport import ServerClient
from carnet.whole_file import replace_file
from carnet_protocol.api import OfficerEntry, ServerStatus
from carnet_protocol.ids import Ed25519PublicKey, Fingerprint
from carnet_protocol.statements import ServiceCard, Signed

officer = make_group("Look after a server from afar, and say who else does.")


@unique
class _Which(StrEnum):
    """The servers, as `--server` names them."""

    VAULT = "vault"
    KEYSERVICE = "keyservice"


SaveOption = Annotated[
    Path | None,
    Option("--save", metavar="FILE", help="Write the public key to FILE, for whoever enrols you."),
]
ServerOption = Annotated[
    _Which, Option("--server", metavar="SERVER", help=f"One of {', '.join(_Which)}; each has officers of its own.")
]


@officer.command("init")
@command
def make(desk: Desk, *, save: SaveOption = None) -> Answer:
    r"""Make an officer's key in the home folder. It works offline, and counts once a server enrolled it.

    The first officer of a server is enrolled on its machine, others there or by an officer. An officer and whom they
    enrolled count as one where two must order something: enrol two on the key service's machine.

    \b
    Examples:
      carnet officer init --save officer.key
      carnet-vault officers enrol --settings settings.toml --key-file officer.key
      carnet-keyservice officers enrol --settings settings.toml --key-file officer.key
      carnet officer enrol other.key --card card.jws --server vault
    """
    made = make_officer(desk.home, passphrase=choose_passphrase(desk.terminal, desk.passphrase_file), now=read_clock())
    return _answer(desk, made.public_key, save)


@officer.command("show")
@command
def show(desk: Desk, *, save: SaveOption = None) -> Answer:
    """Show the officer's public key and its fingerprint."""
    check_home(desk)
    return _answer(desk, load_officer_public_key(desk.home), save)


@officer.command("status")
@command
def status(desk: Desk, *, card: CardOption, server: ServerOption, fingerprint: FingerprintOption = None) -> Answer:
    """Show the state of a server in numbers, and its officers. The server notes that you looked."""
    service = take_card(card, fingerprint)
    opened = open_home(desk)
    with _client(service, server) as client:
        fetched = opened.fetch_status(client)
    return Answer(fetched.model_dump(mode="json"), [_describe(fetched), "", _officers(fetched, opened)])


@officer.command("enrol")
@command
def enrol(
    desk: Desk,
    file: Annotated[Path, Argument(metavar="FILE", help="The file that their `carnet officer init --save` wrote.")],
    *,
    card: CardOption,
    server: ServerOption,
    fingerprint: FingerprintOption = None,
) -> Answer:
    """Put another officer's key in force at a server. Compare its fingerprint with the one on their screen before."""
    public_key = parse_officer_key(read_file(file))
    service = take_card(card, fingerprint)
    opened = open_home(desk)
    with _client(service, server) as client:
        receipt = opened.enrol(public_key, client)
    wanted, index = str(public_key.fingerprint()), receipt.body.index
    return Answer(
        {"officer": wanted, "server": server.value, "event": index},
        [Text(f"Officer {wanted} is in force at the {client.name} by event {index}.")],
    )


officer.command("destruction")(destruction)
officer.command("report")(report)


@officer.command("retire")
@command
def retire(
    desk: Desk,
    officer: Annotated[str, Argument(metavar="FINGERPRINT", help="Whose key, as `carnet officer status` shows it.")],
    *,
    card: CardOption,
    server: ServerOption,
    fingerprint: FingerprintOption = None,
) -> Answer:
    """Retire an officer's key at a server, for good. It may be your own."""
    wanted = parse_officer(officer)
    service = take_card(card, fingerprint)
    opened = open_home(desk)
    with _client(service, server) as client:
        receipt = opened.retire(wanted, client)
    index = receipt.body.index
    return Answer(
        {"officer": str(wanted), "server": server.value, "event": index},
        [Text(f"Officer {wanted} is retired at the {client.name} by event {index}.")],
    )


@contextmanager
def _client(card: Signed[ServiceCard], which: _Which) -> Iterator[ServerClient]:
    """The server of `card` that was asked for."""
    vault, keyservice = open_servers(card)
    try:
        yield vault if which is _Which.VAULT else keyservice
    finally:
        vault.close()
        keyservice.close()


def _answer(desk: Desk, public_key: Ed25519PublicKey, save: Path | None) -> Answer:
    fingerprint = public_key.fingerprint()
    members: dict[str, object] = {
        "public_key": str(public_key),
        "fingerprint": str(fingerprint),
        "home": str(desk.home.path),
    }
    if save is not None:
        replace_file(save, format_officer_key(public_key), mode=0o644)
        members["saved"] = str(save)
    return Answer(
        members,
        [
            facts(("Public key", str(public_key)), ("Fingerprint", str(fingerprint))),
            Text("It counts at a server once it is enrolled there: see `carnet officer init --help`.", style="dim"),
        ],
    )


def _describe(fetched: ServerStatus) -> RenderableType:
    return facts(
        ("Server", str(fetched.server)),
        ("Time", format_time(fetched.time)),
        ("Events", str(fetched.events)),
        *((plain(name.replace("_", " ").capitalize()), _count(name, value)) for name, value in fetched.counts.items()),
    )


def _count(name: str, value: int) -> str:
    if name.endswith("_expires_in") and value <= 0:
        return "expired, issued again when it is asked for"
    if name.endswith("_due_in") and value <= 0:
        return f"overdue for {format_span(-value)}: rotate now"
    return format_span(value) if name.endswith(("_expires_in", "_due_in", "_age")) else str(value)


def _officers(fetched: ServerStatus, opened: Officer) -> RenderableType:
    own = opened.public_key.fingerprint()
    lines = table("Officer", "Enrolled", "")
    for one in fetched.officers:
        lines.add_row(Text(str(one.fingerprint), style="cyan"), f"event {one.enrolled}", _state(one, own))
    return lines


def _state(entry: OfficerEntry, own: Fingerprint) -> str:
    if entry.retired is not None:
        return f"retired by event {entry.retired}"
    return "in force, this key" if entry.fingerprint == own else "in force"
