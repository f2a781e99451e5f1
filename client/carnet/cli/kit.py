"""The recovery kit: printed, read back, forgotten."""

from datetime import datetime
from pathlib import Path
from typing import Final

from carnet.cli.terminal import Terminal
from carnet.errors import HomeError, UsageError
from carnet.grants import check_recovery_kit
from carnet.keys import RecoverySecret
from carnet.recovery import RecoveryKit, forget_kit, read_kit
from carnet.recovery_page import make_recovery_page
from carnet.recovery_texts import Language
from carnet.session import Session

_MOST_BYTES: Final = 4096


def print_kit(session: Session, file: Path, language: Language = "en") -> RecoveryKit:
    """Write the recovery page to the new file `file`. Raises `UsageError` or what making the page raises."""
    if session.keyring.body.recovery_secret is None:
        raise UsageError("the words are on paper alone: print a new page, with new words, by `carnet recovery renew`")
    kit = read_kit(session)
    make_recovery_page(
        file,
        words=kit.words,
        qr_text=" ".join(kit.words),
        identity_text=str(kit.identity),
        short_code=kit.short_code,
        origins=[kit.card.body.keyservice.origin, kit.card.body.vault.origin],
        card_text=str(kit.card.body.card_key.fingerprint()),
        created_on=datetime.fromtimestamp(session.clock()).astimezone().date(),
        language=language,
    )
    return kit


def offer_kit(terminal: Terminal, session: Session, file: Path | None, *, may_go_without: bool) -> None:
    """Before something is shared, offer to print the kit that nobody printed yet.

    Raises `RecoveryKitMissingError` if the answer is no, or nobody can be asked, and one may not go without.
    """
    if session.keyring.body.recovery_secret is None:
        return
    if file is None and not may_go_without and terminal.can_ask:
        terminal.say(
            "You have not shown yet that your recovery kit is on paper. Without it, losing this machine is losing your "
            "record. If you have printed it, stop here and run `carnet recovery confirm`."
        )
        answer = terminal.ask(
            "Write the page to which file? Such as kit.pdf; nothing to stop:", otherwise="nobody can be asked here"
        )
        if answer and Path(answer).suffix.casefold() != ".pdf":
            raise UsageError("the page is a PDF: give it a name that ends with .pdf")
        file = Path(answer) if answer else None
    if file is not None:
        print_kit(session, file)
        terminal.say(f"The kit is in {file}: print it, delete the file, then type its words with")
        terminal.say("`carnet recovery confirm`, so that they are nowhere but on paper.")
        return
    if not may_go_without:
        check_recovery_kit(session)


def confirm_kit(terminal: Terminal, session: Session, file: Path | None) -> None:
    """Forget the words once they were read back from the paper. Raises what `forget_kit` raises."""
    forget_kit(session, read_words(terminal, file))


def read_words(terminal: Terminal, file: Path | None) -> RecoverySecret:
    """The twenty-four words, from `file` or typed. Raises `WordsError`, `HomeError` or `UsageError`."""
    if file is None:
        nobody = "nobody can type the words here: put them in a file and name that with --words-file"
        return RecoverySecret.from_words(terminal.ask_secret("The 24 words (not shown):", otherwise=nobody))
    try:
        with file.open("rb") as stream:
            text = stream.read(_MOST_BYTES).decode("utf-8")
    except OSError as error:
        raise HomeError(f"the file of words {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{file} does not hold words") from None
    return RecoverySecret.from_words(text)
