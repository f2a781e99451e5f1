"""The registrar of a deployment that was made on one machine: a home beside the servers, with its passphrase in a file.

Good for trying things out and for a practice of one's own. Where the registrar is somebody else, its folder is carried
away, its passphrase changed, and the copy here removed; the servers never need it.
"""

import secrets
import time
from pathlib import Path
from typing import Final

from carnet.home import Home
from carnet.registrar import REGISTRAR_FILE, make_registrar, open_registrar
from carnet.whole_file import replace_file
from carnet_protocol.ids import Ed25519PublicKey

PASSPHRASE_FILE: Final = "passphrase"  # noqa: S105  the name of a file
_PASSPHRASE_BYTES: Final = 24


def load_or_make_registrar_key(path: Path) -> Ed25519PublicKey:
    """The public key of the registrar in the folder `path`, made if there is none. Raises what opening it raises."""
    home = Home(path)
    home.create()
    if not home.has(PASSPHRASE_FILE):
        replace_file(path / PASSPHRASE_FILE, (secrets.token_urlsafe(_PASSPHRASE_BYTES) + "\n").encode())
    passphrase = home.load(PASSPHRASE_FILE).decode().strip()
    if home.has(REGISTRAR_FILE):
        return open_registrar(home, passphrase=passphrase).public_key
    return make_registrar(home, passphrase=passphrase, now=int(time.time())).public_key
