"""`carnet passphrase`."""

from pathlib import Path
from typing import Annotated

from rich.text import Text
from typer import Option

from carnet.cli.command import Answer, Desk, command
from carnet.cli.passphrases import choose_passphrase
from carnet.cli.running import make_group

passphrase = make_group("Change the passphrase.")


@passphrase.command("change")
@command
def change_passphrase(
    desk: Desk,
    *,
    new_file: Annotated[
        Path | None, Option("--new-passphrase-file", metavar="FILE", help="Read the new passphrase from FILE.")
    ] = None,
) -> Answer:
    """Lock the keyring of this machine with another passphrase. The old one no longer opens it.

    A copy of the home folder made before still opens with the old one: if somebody may have such a copy, remove the
    device instead, see `carnet device remove --help`.
    """
    with desk.open_session() as session:
        chosen = choose_passphrase(desk.terminal, new_file)
        session.keyring.change_passphrase(chosen, now=session.clock())
    return Answer({"changed": True}, [Text("The passphrase was changed.")])
