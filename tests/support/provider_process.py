"""Another process with a provider of master keys: `python -m tests.support.provider_process SETTINGS NAME CALL…`.

A call is `["make", 1, ""]`, `["load", 1, TOKEN]` or `["destroy", 1, TOKEN]`. It prints the keys, since it is a test's.
"""

import json
import sys
from pathlib import Path

from carnet_keyservice.errors import MasterKeyError
from carnet_keyservice.master_keys import MadeKey, MasterKeyProvider
from carnet_keyservice.sealing import Secret
from carnet_keyservice.settings import PREFIX, KeyServiceSettings
from carnet_keyservice.startup import make_providers
from carnet_server.settings import load_settings


def main() -> None:
    """Do what the arguments say, and print what was answered or the first refusal."""
    file, name, *calls = sys.argv[1:]
    settings = load_settings(KeyServiceSettings, file=Path(file), environment={}, prefix=PREFIX, arguments={})
    (provider,) = (one for one in make_providers(settings) if one.name == name)
    try:
        made = [_ask(provider, *json.loads(call)) for call in calls]
        answer: object = {"made": [[one.key.reveal().hex(), one.token.hex()] for one in made]}
    except MasterKeyError as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer))


def _ask(provider: MasterKeyProvider, what: str, version: int, token_hex: str) -> MadeKey:
    token = bytes.fromhex(token_hex)
    match what:
        case "make":
            return provider.make(version)
        case "load":
            return MadeKey(provider.load(version, token), token)
        case _:
            provider.destroy(version, token)
            return MadeKey(Secret(b""), b"")


if __name__ == "__main__":
    main()
