"""`carnet erase`."""

from typing import Annotated, Final

from rich.text import Text
from typer import Option

from carnet.cli.command import Answer, Desk, command
from carnet.cli.exits import Exit
from carnet.cli.kit import read_words
from carnet.cli.recovery import WordsOption
from carnet.cli.servers import describe_outcomes
from carnet.cli.steps import showing_steps
from carnet.cli.terminal import Terminal, facts
from carnet.cli.whose_record import require_patient
from carnet.erasure import ErasureReport, erase_record, needs_words
from carnet.session import Session
from carnet.short_code import derive_short_code, format_short_code
from carnet.transport import ServerName

PHRASE: Final = "erase everything"
_WHAT_HAPPENS: Final = """\
• Both servers destroy every key of your record and delete every document, every grant, and what they noted of who
  did what. From then on nobody opens anything of it: you neither.
• Whoever you let in keeps what they opened and saved. Nothing calls that back.
• Backups that the servers' operators made hold the record, sealed, until they are thrown away.
• It cannot be undone, and this identity never has a record again. Take out first what you want to keep, with
  `carnet export`. What this home remembers goes when you delete its folder."""


@command
def erase(
    desk: Desk,
    *,
    words_file: WordsOption = None,
    yes: Annotated[bool, Option("--yes", help="Do not ask.")] = False,
) -> Answer:
    r"""Erase your whole record, for good, at both servers. It cannot be undone.

    The 24 words of your recovery kit are needed: a stolen device cannot erase. Each server is told by itself, so that
    none keeps it from the other; one that could not be told is told with the next command, or by running this again.

    \b
    Examples:
      carnet export everything
      carnet erase
    """
    with desk.open_any_session() as session:
        require_patient(session)
        if not needs_words(session):
            with showing_steps(desk.terminal) as on_step:
                return _answer(session, erase_record(session, None, on_step=on_step))
        if not _is_meant(desk.terminal, session, is_said=yes):
            desk.terminal.say("Nothing was erased.")
            return Answer({"erased": False, "record": str(session.record)}, exit=Exit.REFUSED)
        words = session.keyring.body.recovery_secret or read_words(desk.terminal, words_file)
        with showing_steps(desk.terminal) as on_step:
            return _answer(session, erase_record(session, words, on_step=on_step))


def _is_meant(terminal: Terminal, session: Session, *, is_said: bool) -> bool:
    """Whether the person, told what will happen, types the phrase back, or has said so with `--yes`."""
    if is_said:
        return True
    code = format_short_code(derive_short_code(session.identity))
    terminal.show(facts(("Record of", Text(code, style="bold"))), Text(_WHAT_HAPPENS))
    typed = terminal.ask(f"To erase it, type “{PHRASE}”:", otherwise="nobody can be asked here: add --yes")
    return typed.casefold().split() == PHRASE.split()


def _answer(session: Session, report: ErasureReport) -> Answer:
    members, lines, code = describe_outcomes({ServerName.VAULT: report.vault, ServerName.KEYSERVICE: report.keyservice})
    said = "Your record is erased." if report.is_everywhere else "Your record is being erased: `carnet erase` goes on."
    described = {"erased": report.is_everywhere, "record": str(session.record), "statement": str(report.erasure.hash)}
    return Answer({**described, **members}, [Text(said, style="bold"), *lines], code)
