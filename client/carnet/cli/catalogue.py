"""Every command by its name: where it is, and the help of all of them together.

A command's module is imported when it is asked for, so that `carnet --help` answers at once.
"""

import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from typer import Typer

_CATALOGUE: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "Begin": {
        "init": ("init:init", "make an identity on this machine"),
        "whoami": ("whoami:whoami", "show who lives here: identity, short code, QR code"),
        "card": ("card:card", "show the service card, or take a newer one"),
        "passphrase": ("passphrase:passphrase", "change the passphrase"),
        "renew": ("renew:renew", "move keys and record to the suite of a newer service card"),
    },
    "Documents": {
        "record": ("record:record", "open your record and see its parts"),
        "add": ("add:add", "put files or folders into a record"),
        "list": ("listing:list_documents", "list the documents you may see"),
        "show": ("show:show", "show what is known of one document"),
        "get": ("get:get", "fetch documents into a file or folder"),
        "history": ("history:history", "versions of a document, or what happened to the record"),
        "move": ("move:move", "move a document to another part of the record, for example to hide it"),
        "remove": ("remove:remove", "take a document out of the record for good"),
        "erase": ("erase:erase", "erase the whole record for good"),
        "export": ("export:export", "write the whole record into a plain folder"),
        "verify": ("verify:verify", "check every signature and every byte"),
    },
    "Letting people in": {
        "grant": ("grant:grant", "let a practitioner read, or deposit; shows first what they will see"),
        "grants": ("grants:grants", "list who may do what, and until when"),
        "revoke": ("revoke:revoke", "end a grant, at once and for good"),
        "inbox": ("inbox:inbox", "your patients, if you are a practitioner"),
        "handover": ("handover:handover", "for practitioners: move grants to new keys, or to a successor"),
    },
    "Not being locked out": {
        "device": ("device:device", "list, add and remove devices"),
        "recovery": ("recovery:recovery", "print the recovery kit, renew it, begin anew from it"),
    },
    "Running it": {
        "demo": ("demo:demo", "play the whole story on this machine"),
        "up": ("up:up", "run both servers on this machine"),
        "registrar": ("registrar:registrar", "attest practitioners"),
        "officer": ("officer:officer", "look after a server from afar, and say who else does"),
        "version": ("version:version", "say which version this is"),
    },
}

_HEAD: Final = """\
Carnet: a shared medical record that only its patient, and whoever the patient lets in, can open.

Use: carnet COMMAND [OPTIONS]
"""

_FOOT: Final = """
Every command has --help and --json. --home FOLDER, or CARNET_HOME, says whose identity to use.
A passphrase is asked for, or read from the file named by --passphrase-file or CARNET_PASSPHRASE_FILE.

Exit codes: 0 done; 1 refused, or not what it claims to be; 2 wrong use; 3 a server cannot be reached, run it again;
4 something on this machine is in the way; 130 interrupted.
"""


def names() -> list[str]:
    """The names of all commands, in the order of the help."""
    return [name for commands in _CATALOGUE.values() for name in commands]


def format_help() -> str:
    """The help of all commands together."""
    width = max(map(len, names()))
    lines = [_HEAD]
    for title, commands in _CATALOGUE.items():
        lines += [title, *(f"  {name:{width}}  {words}" for name, (_, words) in commands.items()), ""]
    return "\n".join(lines).rstrip("\n") + "\n" + _FOOT


def load_command(name: str) -> "Callable[..., int] | Typer":
    """The command or group called `name`, one of `names`, imported now."""
    module, _, attribute = next(entries[name] for entries in _CATALOGUE.values() if name in entries)[0].partition(":")
    return cast("Callable[..., int] | Typer", pkgutil.resolve_name(f"carnet.cli.{module}:{attribute}"))
