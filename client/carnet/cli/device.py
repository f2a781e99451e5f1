"""`carnet device`."""

from pathlib import Path
from typing import Annotated

from rich.console import RenderableType
from rich.text import Text
from typer import Argument, Option

from carnet.cli.command import Answer, Desk, command
from carnet.cli.completion import describe_renewal
from carnet.cli.exits import Exit, exit_code
from carnet.cli.files import read_file
from carnet.cli.kit import read_words
from carnet.cli.options import CardOption, FingerprintOption, take_card
from carnet.cli.passphrases import choose_passphrase, read_passphrase
from carnet.cli.plain import plain
from carnet.cli.recovery import WordsOption
from carnet.cli.running import make_group
from carnet.cli.servers import describe_outcomes
from carnet.cli.steps import showing_steps
from carnet.cli.terminal import facts, table
from carnet.cli.times import format_time, parse_moment
from carnet.devices import OwnDevice, describe_devices, list_devices, shut_out
from carnet.errors import CarnetError, NotFoundError
from carnet.pairing import PairingRequest, approve_device, join, request_pairing
from carnet.qr import QrError, format_qr_text
from carnet.restrictions import find_own_person
from carnet.revocation import renew_own_keys
from carnet.session import Session
from carnet.short_code import derive_short_code, format_short_code
from carnet.short_ids import is_beginning, shorten
from carnet.transport import ServerName
from carnet.whole_file import replace_file
from carnet_protocol.statements import Signed

device = make_group("List, add and remove your devices.")


@device.command("list")
@command
def list_own_devices(desk: Desk) -> Answer:
    """List your devices."""
    with desk.open_session() as session:
        devices = list_devices(session)
    lines = table("Device", "Name", "Since", "")
    for one in devices:
        lines.add_row(
            Text(shorten(one.device), style="cyan"), plain(one.name or "?"), format_time(one.enrolled_at), _state(one)
        )
    return Answer({"devices": [_describe(one) for one in devices]}, [lines])


@device.command("request")
@command
def request_device(
    desk: Desk,
    *,
    card: CardOption,
    fingerprint: FingerprintOption = None,
    out: Annotated[
        Path | None, Option("--out", metavar="FILE", help="Write the request to FILE, to be carried over.")
    ] = None,
) -> Answer:
    r"""On a new device: ask to join. Carry the request to a device that you have, and approve it there.

    \b
    Example:
      carnet --home ~/.carnet-tablet device request --card card.jws --out request.json
    """
    request = request_pairing(
        desk.home, take_card(card, fingerprint), passphrase=choose_passphrase(desk.terminal, desk.passphrase_file)
    )
    shown: list[RenderableType] = [facts(("Short code", Text(request.short_code, style="bold")))]
    if out is not None:
        replace_file(out, request.text.encode() + b"\n")
        shown.append(Text(f"The request is in {plain(str(out))}. On a device that you have:"))
    elif desk.terminal.console.is_terminal:
        shown += [_qr(request.text), Text(request.text)]
    else:
        shown.append(Text(request.text))
    request_file = "request.json" if out is None else plain(str(out))
    shown.append(Text(f"  carnet device approve {request_file} --out answer.json", style="dim"))
    return Answer({"request": request.text, "short_code": request.short_code, "out": str(out) if out else None}, shown)


@device.command("approve")
@command
def approve(
    desk: Desk,
    request_file: Annotated[Path, Argument(metavar="REQUEST", help="The file with the new device's request.")],
    *,
    out: Annotated[Path, Option("--out", metavar="FILE", help="Where to write the answer for the new device.")],
    name: Annotated[str, Option("--name", metavar="NAME", help="What to call the new device.")] = "second device",
    yes: Annotated[bool, Option("--yes", help="The short codes were compared: do not ask.")] = False,
) -> Answer:
    """On a device that you have: let the new one in. Compare the short code on both screens first.

    The answer holds your keys, sealed so that the new device alone opens it.
    """
    request = PairingRequest.parse(read_file(request_file).decode("utf-8", errors="replace"))
    with desk.open_session() as session:
        desk.terminal.show(facts(("Short code", Text(request.short_code, style="bold"))))
        question = "Does the new device show the same code?"
        if not desk.terminal.agrees(question, is_said=yes):
            desk.terminal.say("The device was not let in.")
            return Answer({"approved": False, "short_code": request.short_code}, exit=Exit.REFUSED)
        replace_file(out, approve_device(session, request, name=name))
    return Answer(
        {"approved": True, "short_code": request.short_code, "out": str(out)},
        [
            Text(f"The answer is in {plain(str(out))}. On the new device:"),
            Text(f"  carnet device join {plain(str(out))}", style="dim"),
        ],
    )


@device.command("join")
@command
def join_as_device(
    desk: Desk,
    answer_file: Annotated[Path, Argument(metavar="ANSWER", help="The file that `carnet device approve` wrote.")],
) -> Answer:
    """On the new device: finish joining. Afterwards it does all that your other devices do."""
    answer = read_file(answer_file)
    with join(desk.home, answer, passphrase=read_passphrase(desk.terminal, desk.passphrase_file)) as session:
        code = format_short_code(derive_short_code(session.identity))
        return Answer(
            {"identity": str(session.identity), "short_code": code, "device": str(session.device)},
            [Text("This device has joined. Check that this is you:"), facts(("Short code", Text(code, style="bold")))],
        )


@device.command("remove")
@command
def remove(
    desk: Desk,
    device_name: Annotated[
        str, Argument(metavar="DEVICE", help="The beginning of its id, as `carnet device list` shows it, or its name.")
    ],
    *,
    since: Annotated[
        str | None,
        Option("--since", metavar="TIME", help="When it was lost: what it did since is undone. Now, if not given."),
    ] = None,
    words_file: WordsOption = None,
    yes: Annotated[bool, Option("--yes", help="Do not ask.")] = False,
) -> Answer:
    r"""Shut a lost or stolen device out for good, with everything that it did since.

    The 24 words of your recovery kit are needed: a thief does not have them. Each server that can be reached shuts it
    out at once; then all your keys are renewed, which needs both. It can be interrupted and run again.

    \b
    Example:
      carnet device remove laptop --since "2026-11-20 18:00"
    """
    with desk.open_session() as session:
        found = _find(session, device_name)
        now = session.clock()
        lost_at = now if since is None else parse_moment(since, now=now)
        question = f"Shut out “{plain(found.name or shorten(found.device))}”, as of {format_time(lost_at)}?"
        if not desk.terminal.agrees(question, is_said=yes):
            desk.terminal.say("Nothing was removed.")
            return Answer({"removed": False, "device": str(found.device)}, exit=Exit.REFUSED)
        words = read_words(desk.terminal, words_file)
        report = shut_out(session, found.device, words, since=lost_at)
        by_server = {ServerName.VAULT: report.vault, ServerName.KEYSERVICE: report.keyservice}
        outcomes, lines, code = describe_outcomes(by_server)
        told = [
            Text(f"The {name} has shut it out.") for name, outcome in by_server.items() if isinstance(outcome, Signed)
        ]
        members = {"removed": report.is_everywhere, "device": str(found.device), "since": lost_at, **outcomes}
        if not report.is_everywhere:
            reason = "a server does not know yet that the device is shut out"
            return _answer_unfinished(members, [*told, *lines], found, reason, code)
        try:
            with showing_steps(desk.terminal) as on_step:
                done, dropped = renew_own_keys(session, words, on_step=on_step)
        except CarnetError as error:
            return _answer_unfinished(members, told, found, str(error), exit_code(error))
        more, lines, code = describe_renewal(session, done)
    shown = [Text("The device is shut out, and your keys are new."), *lines]
    shown += [Text(f"Unlocking with {slot.kind.value} has to be set up anew.", style="yellow") for slot in dropped]
    return Answer({**members, **more}, shown, code)


def _answer_unfinished(
    members: dict[str, object], shown: list[Text], found: OwnDevice, reason: str, code: Exit
) -> Answer:
    """What a removal that did not get to its end did, and how to go on."""
    again = f"`carnet device remove {shorten(found.device)}`"
    unfinished = Text(f"Your keys are not all new yet: {plain(reason)}. To go on: {again}.", style="yellow")
    return Answer({**members, "complete": False, "reason": reason}, [*shown, unfinished], code)


def _find(session: Session, text: str) -> OwnDevice:
    """The device that `text` names, one in use before one that is shut out, whose removal may not be finished.

    It is looked for where the vault is not needed, then with the vault. Raises `NotFoundError`.
    """
    wanted = text.strip().casefold()
    for servers in ([session.keyservice], [session.keyservice, session.vault]):
        devices = describe_devices(session, find_own_person(session, servers))
        in_use = [one for one in devices if one.void_from is None]
        for some in (in_use, devices):
            by_id = [one for one in some if is_beginning(text, one.device)]
            by_name = [one for one in some if (one.name or "").casefold() == wanted]
            by_beginning = [one for one in some if wanted and (one.name or "").casefold().startswith(wanted)]
            for matches in (by_id, by_name, by_beginning):
                if len(matches) == 1:
                    return matches[0]
    raise NotFoundError("no device, or more than one, is called or begins like this: see `carnet device list`")


def _state(one: OwnDevice) -> Text:
    if one.is_this:
        return Text("this one", style="green")
    return Text() if one.void_from is None else Text(f"shut out as of {format_time(one.void_from)}", style="dim")


def _describe(one: OwnDevice) -> dict[str, object]:
    return {
        "device": str(one.device),
        "name": one.name,
        "enrolled_at": one.enrolled_at,
        "void_from": one.void_from,
        "is_this": one.is_this,
    }


def _qr(text: str) -> Text:
    try:
        return Text.from_ansi(format_qr_text(text))
    except QrError:
        return Text()
