"""`carnet recovery`."""

from pathlib import Path
from typing import Annotated

from rich.text import Text
from typer import Argument, Option

from carnet.cli.command import Answer, Desk, command
from carnet.cli.completion import describe_renewal
from carnet.cli.kit import confirm_kit, print_kit, read_words
from carnet.cli.options import CardOption, DeviceNameOption, FingerprintOption, name_device, take_card
from carnet.cli.passphrases import choose_passphrase
from carnet.cli.places import check_place
from carnet.cli.plain import plain
from carnet.cli.running import make_group
from carnet.cli.steps import showing_steps
from carnet.cli.terminal import facts
from carnet.cli.whose_record import is_patient
from carnet.errors import UnauthenticatedError, UnlockError
from carnet.identity import renew_account_key
from carnet.keys import RecoverySecret
from carnet.records import open_record
from carnet.recovery import RecoveryKit, check_restorable, restore
from carnet.recovery_texts import TEXTS, Language
from carnet.revocation import begin_renewal, complete
from carnet.short_code import derive_short_code, format_short_code

recovery = make_group("Print the recovery kit, renew it, begin anew from it.")

WordsOption = Annotated[
    Path | None, Option("--words-file", metavar="FILE", help="Read the 24 words from FILE instead of asking for them.")
]
FileArgument = Annotated[Path, Argument(metavar="FILE.pdf", help="A new file.")]
LanguageOption = Annotated[
    Language, Option("--language", metavar="LANGUAGE", help=f"The page's language: {', '.join(TEXTS)}.")
]


@recovery.command("kit")
@command
def make_kit(
    desk: Desk,
    file: FileArgument,
    *,
    language: LanguageOption = "en",
) -> Answer:
    """Write the recovery kit, one page with 24 words, to FILE.pdf.

    Whoever holds the words holds the record, so print the page, delete the file, and keep the paper where you keep your
    passport. Then run `carnet recovery confirm`: it asks for the words once, and forgets them here.
    """
    with desk.open_session() as session:
        kit = print_kit(session, file, language)
    return _answer_kit(kit, file, {}, [Text(f"The recovery kit is in {plain(str(file))}.")])


@recovery.command("confirm")
@command
def confirm(desk: Desk, *, words_file: WordsOption = None) -> Answer:
    """Show that the printed words are right; from then on they are nowhere but on paper."""
    with desk.open_session() as session:
        if session.keyring.body.recovery_secret is None:
            return Answer({"confirmed": True}, [Text("That was done before: the words are on paper alone.")])
        confirm_kit(desk.terminal, session, words_file)
    return Answer({"confirmed": True}, [Text("The words are right. This machine has forgotten them.")])


@recovery.command("renew")
@command
def renew(
    desk: Desk,
    file: FileArgument,
    *,
    words_file: WordsOption = None,
    language: LanguageOption = "en",
) -> Answer:
    """After somebody saw your words: new words, on a new page, and new keys. The old words then open nothing any more.

    The old words are needed once more. Every other device is shut out, one that somebody made with the old words as
    well; let your own join again with `carnet device pair`.
    """
    check_place(file, may_overwrite=False)
    with desk.open_session() as session:
        old = session.keyring.body.recovery_secret or read_words(desk.terminal, words_file)
        is_practitioner = not is_patient(session)
        if not is_practitioner:
            # Noted first, so that `carnet revoke --complete` mends what is cut.
            begin_renewal(session, open_record(session, ()).compartments)
        dropped = renew_account_key(session, old, new_kit=RecoverySecret.make())
        kit = print_kit(session, file, language)
        done = None
        if not is_practitioner:
            with showing_steps(desk.terminal) as on_step:
                done = complete(session, on_step=on_step)
        members, lines, _ = describe_renewal(session, done)
    shown = [Text(f"Your words and keys are new. The new page is in {plain(str(file))}."), *lines]
    shown += [Text(f"Unlocking with {slot.kind.value} has to be set up anew.", style="yellow") for slot in dropped]
    return _answer_kit(kit, file, {"renewed": True, **members}, shown)


@recovery.command("restore")
@command
def restore_identity(
    desk: Desk,
    *,
    card: CardOption,
    fingerprint: FingerprintOption = None,
    words_file: WordsOption = None,
    device_name: DeviceNameOption = None,
) -> Answer:
    r"""Begin anew on this machine with the 24 words of a recovery kit.

    The service card says which servers there are, and whose word on practitioners counts. The page with the words has
    the fingerprint of its key: give it, so that nobody puts a card of their own in its place. If a device was lost or
    stolen, remove it next: `carnet device list`, then `carnet device remove`. If this is cut, run it again, with
    the same passphrase.

    \b
    Example:
      carnet --home ~/.carnet-new recovery restore --card https://vault.example --fingerprint E6kkzfuo…
    """
    check_restorable(desk.home)
    service = take_card(card, fingerprint)
    words = read_words(desk.terminal, words_file)
    passphrase = choose_passphrase(desk.terminal, desk.passphrase_file)
    try:
        restored = restore(
            desk.home,
            service,
            words,
            passphrase=passphrase,
            device_name=name_device(device_name),
        )
    except UnauthenticatedError as error:
        raise UnlockError(
            "these words open nothing at this key service: compare them with the newest page, and the card with the "
            "servers on it; a clock that is wrong by minutes does it, too"
        ) from error
    with restored as session:
        code = format_short_code(derive_short_code(session.identity))
        return Answer(
            {"identity": str(session.identity), "short_code": code, "device": str(session.device)},
            [
                Text("Welcome back."),
                facts(("Identity", str(session.identity)), ("Short code", code)),
                Text("If a device was lost: `carnet device list`, then `carnet device remove`.", style="dim"),
            ],
        )


def _answer_kit(kit: RecoveryKit, file: Path, members: dict[str, object], shown: list[Text]) -> Answer:
    return Answer(
        {**members, "file": str(file), "identity": str(kit.identity), "short_code": kit.short_code},
        [*shown, Text("Print it, delete the file, then run `carnet recovery confirm`.", style="dim")],
    )
