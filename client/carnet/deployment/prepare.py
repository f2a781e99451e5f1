"""Preparing a deployment's folder: keys, service card, settings. Makes what is missing, changes what moved.

The card is signed again, with the next serial, only when an address changed; keys are never replaced.
"""

import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from carnet.card import parse_card
from carnet.deployment.address import LOOPBACK, Address, parse_address
from carnet.deployment.folder import SERVERS, Folder, load_or_make_seed, load_or_make_signer
from carnet.errors import HomeError, UsageError
from carnet.whole_file import replace_file
from carnet_protocol.ids import Ed25519PublicKey, Fingerprint
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Server, ServiceCard, Signed
from carnet_protocol.suites import WRITE_SUITE

_MASTER_KEY: Final = "master-1.key"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A folder that is ready to run."""

    folder: Folder
    address: Address
    card: Signed[ServiceCard]

    @property
    def fingerprint(self) -> Fingerprint:
        """The fingerprint of the card key, to be told to people."""
        return Ed25519PublicKey(self.card.body.card_key.raw).fingerprint()


def prepare_deployment(
    path: Path,
    *,
    registrar_key: Callable[[Path], Ed25519PublicKey],
    listen: str | None = None,
    name: str | None = None,
    tls_certificate: Path | None = None,
    tls_key: Path | None = None,
    now: int | None = None,
) -> Deployment:
    """The deployment in the folder `path`, made or brought up to date.

    `registrar_key` returns the public key of the registrar who lives in a folder, made if need be; once the card names
    a registrar, nobody is asked. What is not given stays as it was; at first it is loopback. Raises `UsageError`,
    `HomeError` or `VerificationError`.
    """
    folder = Folder(path.absolute())
    folder.check_own()
    if folder.address.exists():
        address = parse_address(_read(folder.address)).change(
            listen=listen, name=name, tls_certificate=tls_certificate, tls_key=tls_key
        )
    else:
        address = Address.choose(listen=listen or LOOPBACK, name=name, tls_certificate=tls_certificate, tls_key=tls_key)
    _check_certificate(address)
    folder.create()
    replace_file(folder.address, address.formatted())
    load_or_make_seed(folder.keys("keyservice") / _MASTER_KEY)
    card = _renew_card(folder, address, registrar_key, now=int(time.time()) if now is None else now)
    for server in SERVERS:
        replace_file(folder.settings(server), _format_settings(folder, server, address))
    return Deployment(folder, address, card)


def _check_certificate(address: Address) -> None:
    """Check that certificate and key can be used together. Raises `UsageError`."""
    if address.tls_certificate is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(address.tls_certificate, address.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"{address.tls_certificate} and {address.tls_key} are no certificate with its key, in PEM: give those"
        ) from error


def _renew_card(
    folder: Folder, address: Address, registrar_key: Callable[[Path], Ed25519PublicKey], *, now: int
) -> Signed[ServiceCard]:
    """The card as it stands if it still says the truth, else its next serial."""
    card_key = load_or_make_signer(folder.card_key)
    if folder.card.exists():
        card = parse_card(_read(folder.card).decode("ascii", errors="replace"))
        registrars = tuple(Ed25519PublicKey(key.raw) for key in card.body.registrars)
        serial, issued_at = card.body.serial, card.body.issued_at
        if card.body == _describe(folder, address, registrars, card_key, serial=serial, now=issued_at):
            return card
        serial += 1
    else:
        registrars, serial = (registrar_key(folder.registrar),), 1
    card = Signed.sign(_describe(folder, address, registrars, card_key, serial=serial, now=now), card_key)
    replace_file(folder.card, card.text.encode("ascii"), mode=0o644)
    return card


def _describe(
    folder: Folder,
    address: Address,
    registrars: tuple[Ed25519PublicKey, ...],
    card_key: Signer,
    *,
    serial: int,
    now: int,
) -> ServiceCard:
    return ServiceCard(
        card_key=card_key.public_key,
        serial=serial,
        name=f"Carnet at {address.name}",
        vault=_describe_server(folder, "vault", address.vault_origin),
        keyservice=_describe_server(folder, "keyservice", address.keyservice_origin),
        registrars=registrars,
        witnesses=(),
        suite_floor=WRITE_SUITE,
        issued_at=now,
    )


def _describe_server(folder: Folder, name: str, origin: str) -> Server:
    return Server(
        origin=origin,
        key=load_or_make_signer(folder.keys(name) / "server.key").public_key,
        log_key=load_or_make_signer(folder.keys(name) / "log.key").public_key,
    )


def _format_settings(folder: Folder, name: str, address: Address) -> bytes:
    is_vault = name == "vault"
    values: dict[str, str | int | None] = {
        "data_dir": str(folder.server(name)),
        "service_card": str(folder.card),
        "origin": address.vault_origin if is_vault else address.keyservice_origin,
        "listen_host": address.listen,
        "listen_port": address.vault_port if is_vault else address.keyservice_port,
        "tls_certificate": address.tls_certificate,
        "tls_key": address.tls_key,
        "log_file": str(folder.log(name) / f"{name}.jsonl"),
    }
    # A basic string of TOML is written as JSON writes one, but for DEL.
    lines = [
        f"{key} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", "\\u007f")
        for key, value in values.items()
        if value is not None
    ]
    return ("\n".join(lines) + "\n").encode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise HomeError(f"{path} cannot be read: {error.strerror}") from error
