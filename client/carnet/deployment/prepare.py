"""Preparing a deployment's folder: keys, service card, settings. Makes what is missing, changes what moved.

The card is signed again, with the next serial, only when an address or a suite changed, and only then is its key
needed. Keys are made before the first card and never again: one that is gone is asked for.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from carnet.card import parse_card
from carnet.deployment.address import Address, parse_address
from carnet.deployment.certificate import check_certificate
from carnet.deployment.folder import LOG_KEY, SERVER_KEY, SERVERS, Folder, load_signer
from carnet.errors import HomeError, UsageError
from carnet.whole_file import replace_file
from carnet_protocol.ids import Ed25519PublicKey, Fingerprint
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Server, ServiceCard, Signed
from carnet_protocol.suites import WRITE_SUITE, Suite


@dataclass(frozen=True, slots=True)
class CardSuites:
    """What a card says of suites: nothing is read or written below `floor`, everything new is of `write`."""

    floor: Suite = WRITE_SUITE
    write: Suite = WRITE_SUITE

    def change(self, *, floor: Suite | None, write: Suite | None) -> Self:
        """These with what is given in their place. Raises `UsageError`."""
        changed = type(self)(floor or self.floor, write or self.write)
        if changed.floor < self.floor:
            raise UsageError(f"the floor is suite {self.floor:d} already: clients take no card that lowers it")
        if changed.write < changed.floor:
            raise UsageError("what is written is not below the floor: give a later --write-suite as well")
        return changed


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
    floor: Suite | None = None,
    write: Suite | None = None,
    now: int | None = None,
) -> Deployment:
    """The deployment in the folder `path`, made or brought up to date.

    `registrar_key` returns the public key of the registrar who lives in a folder, made if need be; once the card names
    a registrar, nobody is asked. What is not given stays as it was; at first it is loopback and `WRITE_SUITE`. Raises
    `UsageError`, `HomeError` or `VerificationError`.
    """
    folder = Folder(path.absolute())
    folder.check_own()
    if folder.path.exists():
        with folder.hold():
            pass  # running servers would not follow what changes here
    if folder.address.exists():
        address = parse_address(_read(folder.address)).change(
            listen=listen, name=name, tls_certificate=tls_certificate, tls_key=tls_key
        )
    else:
        address = Address.choose(listen=listen, name=name, tls_certificate=tls_certificate, tls_key=tls_key)
    if address.tls_certificate is not None and address.tls_key is not None:
        check_certificate(Path(address.tls_certificate), Path(address.tls_key), name=address.name)
    folder.create()
    now = int(time.time()) if now is None else now
    if folder.is_begun:
        folder.check_master_key()
        card = _renew_card(folder, address, floor=floor, write=write, now=now)
    else:
        suites = CardSuites().change(floor=floor, write=write)
        folder.make_keys()
        card = _sign_first_card(folder, address, registrar_key(folder.registrar), suites, now=now)
    # All that can be refused was: from here on the folder changes. The address comes first; a card that does not follow
    # it is signed at the next start.
    replace_file(folder.address, address.formatted())
    replace_file(folder.card, card.text.encode("ascii"), mode=0o644)
    for server in SERVERS:
        replace_file(folder.settings(server), _format_settings(folder, server, address))
    return Deployment(folder, address, card)


def _sign_first_card(
    folder: Folder, address: Address, registrar: Ed25519PublicKey, suites: CardSuites, *, now: int
) -> Signed[ServiceCard]:
    card_key = load_signer(folder.card_key)
    body = _describe(folder, address, (registrar,), card_key.public_key, suites, serial=1, now=now)
    return Signed.sign(body, card_key)


def _renew_card(
    folder: Folder, address: Address, *, floor: Suite | None, write: Suite | None, now: int
) -> Signed[ServiceCard]:
    """The card as it stands if it still says the truth, else its next serial."""
    if not folder.card.exists():
        raise HomeError(f"{folder.card} is gone: bring it back, from the home of anyone who uses these servers")
    card = parse_card(_read(folder.card).decode("ascii", errors="replace"))
    public_key = Ed25519PublicKey(card.body.card_key.raw)
    registrars = tuple(Ed25519PublicKey(key.raw) for key in card.body.registrars)
    serial, issued_at = card.body.serial, card.body.issued_at
    before = CardSuites(Suite(card.body.suite_floor), Suite(card.body.write_suite))
    suites = before.change(floor=floor, write=write)
    if card.body == _describe(folder, address, registrars, public_key, suites, serial=serial, now=issued_at):
        return card
    card_key = _load_card_key(folder, public_key)
    body = _describe(folder, address, registrars, public_key, suites, serial=serial + 1, now=now)
    return Signed.sign(body, card_key)


def _load_card_key(folder: Folder, public_key: Ed25519PublicKey) -> Signer:
    """The key that signed the card. Raises `UsageError` if it is kept elsewhere, `HomeError` if it is another."""
    if not folder.card_key.exists():
        raise UsageError(
            f"the service card has to be signed anew, and its key is not here: bring {folder.card_key} back"
        )
    card_key = load_signer(folder.card_key)
    if card_key.public_key != public_key:
        raise HomeError(f"{folder.card_key} is not the key that signed {folder.card}: bring that one back")
    return card_key


def _describe(
    folder: Folder,
    address: Address,
    registrars: tuple[Ed25519PublicKey, ...],
    card_key: Ed25519PublicKey,
    suites: CardSuites,
    *,
    serial: int,
    now: int,
) -> ServiceCard:
    return ServiceCard(
        card_key=card_key,
        serial=serial,
        name=f"Carnet at {address.name}",
        vault=_describe_server(folder, "vault", address.vault_origin),
        keyservice=_describe_server(folder, "keyservice", address.keyservice_origin),
        registrars=registrars,
        witnesses=(),
        suite_floor=suites.floor,
        write_suite=suites.write,
        issued_at=now,
    )


def _describe_server(folder: Folder, name: str, origin: str) -> Server:
    return Server(
        origin=origin,
        key=load_signer(folder.keys(name) / SERVER_KEY).public_key,
        log_key=load_signer(folder.keys(name) / LOG_KEY).public_key,
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
