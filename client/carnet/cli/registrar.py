"""`carnet registrar`."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

from rich.text import Text
from typer import Argument, Option

from carnet.card import fetch_card
from carnet.cli.command import Answer, Desk, command
from carnet.cli.exits import Exit
from carnet.cli.ids import load_person, parse_attestation, parse_identity
from carnet.cli.options import CardOption
from carnet.cli.passphrases import choose_passphrase, read_passphrase
from carnet.cli.plain import plain
from carnet.cli.running import make_group
from carnet.cli.terminal import facts, table
from carnet.cli.times import format_time, parse_duration
from carnet.errors import NoHomeError
from carnet.registrar import REGISTRAR_FILE, Registrar, make_registrar, open_registrar
from carnet.session import open_servers, read_clock
from carnet.short_code import derive_short_code, format_short_code
from carnet.short_ids import shorten
from carnet_protocol.ids import AttestationId
from carnet_protocol.limits import MAX_ATTESTATION_SECONDS
from carnet_protocol.statements import Attestation, Profession, Signed

registrar = make_group("Attest practitioners, and take attestations back.")


@registrar.command("init")
@command
def make(desk: Desk) -> Answer:
    """Make a registrar's key in the home folder. It works offline; only publishing needs a network."""
    passphrase = choose_passphrase(desk.terminal, desk.passphrase_file)
    made = make_registrar(desk.home, passphrase=passphrase, now=read_clock())
    fingerprint = str(made.public_key.fingerprint())
    return Answer(
        {"public_key": str(made.public_key), "fingerprint": fingerprint, "home": str(desk.home.path)},
        [
            facts(("Public key", str(made.public_key)), ("Fingerprint", fingerprint)),
            Text("The service card of a deployment names the registrars that count there.", style="dim"),
        ],
    )


@registrar.command("attest")
@command
def attest(
    desk: Desk,
    person_file: Annotated[Path, Argument(metavar="PERSON", help="The file that their `carnet whoami --save` wrote.")],
    *,
    name: Annotated[str, Option("--name", metavar="TEXT", help="Their name, as patients know it.")],
    profession: Annotated[
        Profession, Option("--profession", metavar="PROFESSION", help=f"One of {', '.join(Profession)}.")
    ],
    organisation: Annotated[str, Option("--organisation", metavar="TEXT", help="Where they work.")],
    span: Annotated[str, Option("--for", metavar="SPAN", help="How long it counts; at most 90 days.")] = "90 days",
    succeeds: Annotated[
        str | None,
        Option("--succeeds", metavar="IDENTITY", help="Whose grants they take over."),
    ] = None,
    yes: Annotated[bool, Option("--yes", help="The short codes were compared: do not ask.")] = False,
) -> Answer:
    r"""Attest a practitioner, whom you have in front of you. Publish it afterwards.

    Compare the short code with the one on their screen, and look at their papers: patients rely on your word.

    \b
    Example:
      carnet registrar attest bob.json --name "Dr Bob Martin" --profession physician --organisation "Cabinet Martin"
    """
    person = load_person(person_file)
    code = format_short_code(derive_short_code(person.identity))
    desk.terminal.show(
        facts(("Name", plain(name)), ("Identity", str(person.identity)), ("Short code", Text(code, style="bold")))
    )
    question = "Does their screen show the same code, and are they who they say?"
    if not desk.terminal.agrees(question, is_said=yes):
        desk.terminal.say("Nothing was attested.")
        return Answer({"attested": False, "identity": str(person.identity)}, exit=Exit.REFUSED)
    seconds = min(parse_duration(span), MAX_ATTESTATION_SECONDS)
    signed = _open(desk).attest(
        person,
        name=name,
        profession=profession,
        organisation=organisation,
        now=read_clock(),
        seconds=seconds,
        succeeds=None if succeeds is None else parse_identity(succeeds),
    )
    return Answer(
        {"attested": True, **_describe(signed), "short_code": code},
        [
            Text(f"{plain(name)} is attested until {format_time(signed.body.expires)}."),
            Text("Next: `carnet registrar publish`.", style="dim"),
        ],
    )


@registrar.command("revoke")
@command
def revoke(
    desk: Desk,
    attestation: Annotated[str, Argument(metavar="ATTESTATION", help="Its id, as `carnet registrar list` shows it.")],
) -> Answer:
    """Take an attestation back. It counts from the next `carnet registrar publish` on."""
    wanted = parse_attestation(attestation)
    _open(desk).revoke(wanted, now=read_clock())
    return Answer(
        {"attestation": str(wanted), "revoked": True},
        [Text("It is taken back."), Text("Next: `carnet registrar publish`.", style="dim")],
    )


@registrar.command("list")
@command
def list_attestations(desk: Desk) -> Answer:
    """List the attestations on file."""
    opened = _open(desk)
    now = read_clock()
    signed, revoked = opened.attestations(), opened.revoked()
    lines = table("Attestation", "Name", "Profession", "Organisation", "Identity", "Until")
    for one in signed:
        body = one.body
        lines.add_row(
            Text(str(body.id), style="cyan"),
            plain(body.name),
            body.profession.value,
            plain(body.organisation),
            shorten(body.subject),
            _until(body, revoked=revoked, now=now),
        )
    return Answer(
        {"attestations": [{**_describe(one), "revoked": one.body.id in revoked} for one in signed]},
        [lines if signed else Text("Nobody is attested.")],
    )


@registrar.command("publish")
@command
def publish(
    desk: Desk,
    *,
    card: CardOption,
) -> Answer:
    """Give both servers every attestation on file and a fresh list of those taken back.

    The list is good for 30 days: publish again before, or nobody attested here is relied on any more.
    """
    service = fetch_card(card)
    opened = _open(desk)
    vault, keyservice = open_servers(service)
    try:
        signed = opened.publish(vault, keyservice, now=read_clock())
    finally:
        vault.close()
        keyservice.close()
    body = signed.body
    return Answer(
        {"number": body.number, "next_update": body.next_update, "revoked": [str(one) for one in body.revoked]},
        [Text(f"Published. Publish again before {format_time(body.next_update)}.")],
    )


def _open(desk: Desk) -> Registrar:
    # A folder without a registrar is told before anybody types a passphrase for it.
    if not desk.home.has(REGISTRAR_FILE):
        raise NoHomeError(f"no registrar lives in {desk.home.path}: begin with `carnet registrar init`, or name a home")
    return open_registrar(desk.home, passphrase=read_passphrase(desk.terminal, desk.passphrase_file))


def _until(body: Attestation, *, revoked: Collection[AttestationId], now: int) -> str:
    if body.id in revoked:
        return "taken back"
    return "over" if body.expires <= now else format_time(body.expires)


def _describe(signed: Signed[Attestation]) -> dict[str, object]:
    body = signed.body
    return {
        "attestation": str(body.id),
        "identity": str(body.subject),
        "name": body.name,
        "profession": body.profession.value,
        "organisation": body.organisation,
        "not_before": body.not_before,
        "expires": body.expires,
        "succeeds": None if body.succeeds is None else str(body.succeeds),
    }
