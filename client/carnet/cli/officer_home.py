"""The home of an officer, as the commands open it."""

from carnet.cli.command import Desk
from carnet.cli.passphrases import read_passphrase
from carnet.errors import NoHomeError
from carnet.officer import OFFICER_FILE, Officer, open_officer


def check_home(desk: Desk) -> None:
    """Refuse a home in which no officer lives. Raises `NoHomeError`."""
    if not desk.home.has(OFFICER_FILE):
        raise NoHomeError(f"no officer lives in {desk.home.path}: begin with `carnet officer init`, or name a home")


def open_home(desk: Desk) -> Officer:
    """The officer who lives here. A folder without one is told before anybody types a passphrase for it."""
    check_home(desk)
    return open_officer(desk.home, passphrase=read_passphrase(desk.terminal, desk.passphrase_file))
