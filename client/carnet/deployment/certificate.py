"""The TLS certificate of a deployment, looked at before anything is made: as a client will, who knows its authority."""

import ssl
import stat
from contextlib import suppress
from pathlib import Path

from carnet.errors import UsageError


def check_certificate(certificate: Path, key: Path, *, name: str) -> None:
    """Check that `certificate` serves under `name`.

    1. It and `key` can be read and are a pair.
    2. Nobody but the owner can use the key.
    3. A client who reaches the server by `name` takes it, today.

    Raises `UsageError`.
    """
    # 1.
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{certificate} and {key} are no certificate with its key, in PEM: give those") from error
    # 2.
    if key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(f"{key} can be used by others than its owner: chmod 600 it")
    # 3. Whether clients know the authority is theirs to find out, so the certificate is its own here.
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(certificate)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        _greet(client, server, name)
    except ssl.SSLError as error:
        reason = str(getattr(error, "verify_message", error.reason)).rstrip(".")
        raise UsageError(f"{certificate} is no certificate for {name} ({reason}): give one, or its --name") from error


def _greet(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    """Let the two shake hands in memory, until the client has seen the certificate. Raises `ssl.SSLError`."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname=name)
    for end in (theirs, ours, theirs):
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()
