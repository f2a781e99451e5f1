"""`carnet handover`."""

from pathlib import Path
from typing import Annotated

from rich.text import Text
from typer import Argument, Option

from carnet.cli.command import Answer, Desk, command
from carnet.cli.exits import Exit
from carnet.cli.files import read_file
from carnet.cli.ids import load_person
from carnet.cli.kit import read_words
from carnet.cli.plain import plain
from carnet.cli.recovery import WordsOption
from carnet.cli.running import make_group
from carnet.cli.steps import showing_steps
from carnet.cli.terminal import count, facts
from carnet.cli.whose_record import is_patient
from carnet.errors import UsageError
from carnet.handover import HandoverReport, hand_over, reseal_own, take_over
from carnet.patients import SkippedGrant
from carnet.session import Session
from carnet.short_code import derive_short_code, format_short_code
from carnet.short_ids import shorten
from carnet.whole_file import replace_file

handover = make_group("For practitioners: move what patients gave you to new keys, or to a successor.")


@handover.command("renew")
@command
def renew(desk: Desk) -> Answer:
    """After your keys were renewed, for example because a device was lost: go on reading under the grants you have.

    First have the registrar attest the new keys: `carnet whoami --save me.json`.
    """
    with desk.open_session() as session:
        _check_practitioner(session)
        with showing_steps(desk.terminal) as on_step:
            report = reseal_own(session, on_step=on_step)
    return _answer(f"{count(report.done, 'record')} open to your new keys.", {}, report)


@handover.command("give")
@command
def give(
    desk: Desk,
    person: Annotated[Path, Argument(metavar="PERSON", help="The file that their `carnet whoami --save` wrote.")],
    *,
    out: Annotated[Path, Option("--out", metavar="FILE", help="Where to write what the successor takes over with.")],
    words_file: WordsOption = None,
    yes: Annotated[bool, Option("--yes", help="The short codes were compared: do not ask.")] = False,
) -> Answer:
    """Let a successor take over all your grants. Your patients see it, and may end any of them.

    The 24 words of your recovery kit are needed. A registrar attests the successor with --succeeds and your identity.
    """
    successor = load_person(person)
    code = format_short_code(derive_short_code(successor.identity))
    with desk.open_session() as session:
        _check_practitioner(session)
        desk.terminal.show(facts(("Identity", str(successor.identity)), ("Short code", Text(code, style="bold"))))
        question = "Does the successor's screen show the same code?"
        if not desk.terminal.agrees(question, is_said=yes):
            desk.terminal.say("Nothing was handed over.")
            return Answer({"given": False, "successor": str(successor.identity)}, exit=Exit.REFUSED)
        secret = read_words(desk.terminal, words_file)
        with showing_steps(desk.terminal) as on_step:
            report = hand_over(
                session, successor.current, secret, store=lambda sealed: replace_file(out, sealed), on_step=on_step
            )
    members = {"given": True, "successor": str(successor.identity), "out": str(out)}
    sentence = (
        f"Handed over: {count(report.done, 'record')}. The successor runs `carnet handover take {plain(str(out))}`."
    )
    return _answer(sentence, members, report)


@handover.command("take")
@command
def take(
    desk: Desk,
    file: Annotated[Path, Argument(metavar="FILE", help="The file that `carnet handover give` wrote.")],
) -> Answer:
    """Take over the grants of your predecessor, once a registrar has attested it.

    Cut anywhere, run it again. What a patient ended meanwhile is named and bars nothing.
    """
    handed_over = read_file(file)
    with desk.open_session() as session:
        _check_practitioner(session)
        with showing_steps(desk.terminal) as on_step:
            report = take_over(session, handed_over, on_step=on_step)
    return _answer(f"{count(report.done, 'record')} open to you.", {}, report)


def _check_practitioner(session: Session) -> None:
    if is_patient(session):
        raise UsageError("this is for practitioners: nobody lets a patient in")


def _answer(sentence: str, members: dict[str, object], report: HandoverReport) -> Answer:
    """What was done, and each grant that was left out, with the reason; these are in the exit code as well."""
    shown = [Text(sentence)]
    shown += [Text(f"  {_name(skipped)}  {plain(skipped.reason)}", style="red") for skipped in report.skipped]
    described: dict[str, object] = {
        **members,
        "records": report.done,
        "already": report.already,
        "skipped": [_describe(skipped) for skipped in report.skipped],
    }
    return Answer(described, shown, Exit.REFUSED if report.skipped else Exit.DONE)


def _name(skipped: SkippedGrant) -> str:
    return "?" if skipped.record is None else shorten(skipped.record)


def _describe(skipped: SkippedGrant) -> dict[str, object]:
    return {
        "record": None if skipped.record is None else str(skipped.record),
        "grant": None if skipped.grant is None else str(skipped.grant),
        "reason": skipped.reason,
    }
