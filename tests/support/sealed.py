"""Everything sealed that servers and homes hold, found as a thief finds it: in databases, stores and files.

The thief knows the programs and the formats, so each thing comes with the context that it is bound to, and all that is
missing is a key: 32 bytes, whatever it is sealed with.
"""

import base64
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from carnet.content.cobblestone import MessageOpener
from carnet.errors import CarnetError
from carnet.sealing import KemPrivateKey, open_message, open_secret
from carnet.secrets import ContentKey
from carnet_protocol import labels
from carnet_protocol.encoding import pack, parse_canonical_json
from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, RecordId, StatementHash
from carnet_protocol.sealed_box import HEADER_SIZE
from carnet_protocol.signing import split_jws
from carnet_protocol.statements import KINDS, Compartment, Device, Grant, Identity, Recovery, Signed
from carnet_protocol.suites import WRITE_SUITE, Suite
from carnet_protocol.tuples import (
    CompartmentLock,
    IdentityTuple,
    KeyRole,
    PersonalLock,
    WrapTuple,
    compartment_name_info,
    grant_note_info,
    readers_opening_info,
    sealed_compartment_key_info,
)

Row = dict[str, Any]
Tables = dict[str, list[Row]]


@dataclass(frozen=True, slots=True)
class Sealed:
    """Something sealed: which seal of the inventory, found where; for which version, if for one.

    `open` takes 32 bytes and returns the plaintext, or None. `inside` is what is sealed within an opened one, `again`
    the same with other bytes, `role` the role of the key in a capsule; a box is opened by a key pair.
    """

    seal: str
    place: str
    raw: bytes
    open: Callable[[bytes], bytes | None]
    again: Callable[[bytes], "Sealed"]
    version: IdentityTuple | None = None
    role: str | None = None
    is_box: bool = False
    inside: Callable[[bytes], "Sealed | None"] = lambda _: None


def read_tables(path: Path) -> Tables:
    """Every row of every table of the SQLite database at `path`, its write-ahead log included."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
        return {
            name: [dict(row) for row in connection.execute(f'SELECT * FROM "{name}"')]  # noqa: S608  from the schema
            for (name,) in names
        }


def in_vault(tables: Tables, objects: Path) -> Iterator[Sealed]:
    """What the vault holds: content, metadata, capsules, and what statements carry."""
    authors = {(row["record"], row["document"]): row["author"] for row in tables["documents"]}
    versions: dict[tuple[bytes, bytes, int], IdentityTuple] = {}
    for row in tables["versions"]:
        place = (row["record"], row["document"])
        versions[*place, row["version"]] = IdentityTuple(
            Suite(row["suite"]), RecordId(place[0]), DocumentId(place[1]), row["version"], IdentityHash(authors[place])
        )
    for row in tables["versions"]:
        identity = versions[row["record"], row["document"], row["version"]]
        if row["metadata"] is not None:
            yield seal_of_message("metadata", "vault.db.versions", row["metadata"], identity)
        for path in [] if row["object"] is None else sorted(objects.rglob(row["object"])):
            yield seal_of_message("content", "vault.store.object", path.read_bytes(), identity)
    for row in tables["capsules"]:
        recipient = CompartmentLock(CompartmentId(row["compartment"]), StatementHash(row["compartment_statement"]))
        yield seal_of_capsule(
            row["sealed"], _wrap(versions[row["record"], row["document"], row["version"]], row, recipient)
        )
    for row in tables["personal_capsules"]:
        personal = PersonalLock(
            StatementHash(row["grant"]), IdentityHash(row["grantee"]), StatementHash(row["grantee_statement"])
        )
        yield seal_of_capsule(
            row["sealed"], _wrap(versions[row["record"], row["document"], row["version"]], row, personal)
        )
    yield from in_statements([row["jws"] for row in tables["statements"]])


def in_keyservice(tables: Tables) -> Iterator[Sealed]:
    """What the key service holds: record locks, compartment keys, recovery slots, and what statements carry."""
    for row in tables["master_keys"]:
        context = pack(labels.MASTER_KEY_CHECK, row["version"])
        yield seal_of_secret("master-key-check", "keyservice.db.master_keys", row["check_value"], context)
    for row in tables["lock_seals"]:
        context = pack(labels.RECORD_LOCK_AT_REST, row["record"], row["version"], row["master_key_version"])
        yield seal_of_secret("record-lock", "keyservice.db.lock_seals", row["sealed_seed"], context)
    for row in tables["sealed_keys"]:
        info = sealed_compartment_key_info(
            suite_of(row["sealed"]),
            compartment_statement=StatementHash(row["compartment_statement"]),
            grant=StatementHash(row["grant"]) if row["grant"] else None,
            reader_statement=StatementHash(row["reader_statement"]),
        )
        yield seal_of_box("sealed-compartment-key", "keyservice.db.sealed_keys", row["sealed"], info)
    yield from in_statements([row["jws"] for row in tables["statements"]])


def in_statements(texts: Iterable[str]) -> Iterator[Sealed]:
    """What is sealed in statements: names of compartments and devices, openings, notes, recovery slots."""
    signed = [parse_statement(text) for text in texts]
    before = {one.hash: one.body.previous for one in signed if isinstance(one.body, Identity)}
    for body in (one.body for one in signed):
        match body:
            case Compartment(suite=suite, record=record, compartment=name, epoch=epoch):
                info = compartment_name_info(Suite(suite), record=record, compartment=name, epoch=epoch)
                yield seal_of_box("compartment-name", "statement.compartment", body.sealed_name, info)
                info = readers_opening_info(suite_of(body.sealed_opening), record=record, compartment=name, epoch=epoch)
                yield seal_of_box("readers-opening", "statement.compartment", body.sealed_opening, info)
            case Grant(record=record, id=grant_id, grantee_statement=grantee):
                info = grant_note_info(
                    suite_of(body.sealed_note), record=record, grant_id=grant_id.raw, grantee_statement=grantee
                )
                yield seal_of_box("grant-note", "statement.grant", body.sealed_note, info)
            case Device(identity=identity, device_key=key):
                context = pack(labels.DEVICE_NAME, identity.raw, key.raw)
                yield seal_of_secret("device-name", "statement.device", body.sealed_name, context)
            case Recovery(identity=identity, identity_statement=statement):
                context = pack(labels.RECOVERY_SLOT, identity.raw, statement.raw)
                yield seal_of_secret("recovery-slot", "statement.recovery", body.sealed_account_key, context)
                previous = before[statement]
                if body.sealed_previous is not None and previous is not None:
                    context = pack(labels.RECOVERY_SLOT, identity.raw, previous.raw)
                    yield seal_of_secret("previous-account-key", "statement.recovery", body.sealed_previous, context)
            case _:
                pass


def in_home(home: Path) -> Iterator[Sealed]:
    """What lies in a person's home folder: the keyring's slots and body, and the local state."""
    keyring = json.loads((home / "keyring.json").read_bytes())
    identity = decode(keyring["identity"])
    for slot in keyring["slots"]:
        context = pack(labels.KEYRING_SLOT, identity, decode(slot["id"]), slot["kind"].encode())
        yield seal_of_secret("keyring-slot", "home.keyring", decode(slot["sealed"]), context)
    context = pack(labels.KEYRING_BODY, identity, keyring["version"])
    yield seal_of_secret("keyring-body", "home.keyring", decode(keyring["body"]), context)
    for path in sorted((home / "state").glob("*")):
        context = pack(labels.LOCAL_STATE, identity, path.name.encode())
        raw = path.read_bytes()
        lines = [base64.b64decode(line) for line in raw.splitlines()] if _is_list(raw) else [raw]
        for line in lines:
            yield seal_of_secret("local-state", "home.state", line, context)


def seal_of_box(seal: str, place: str, raw: bytes, info: bytes) -> Sealed:
    """A sealed box: HPKE to the key pair of the 32-byte seed, of the suite that the header says."""

    def open_(key: bytes) -> bytes | None:
        return _quietly(lambda: open_message(raw[HEADER_SIZE:], _key_pair(key, suite_of(raw)), info=info))

    return Sealed(seal, place, raw, open_, lambda other: seal_of_box(seal, place, other, info), is_box=True)


def seal_of_message_to(seal: str, place: str, raw: bytes, info: bytes, suite: Suite) -> Sealed:
    """HPKE to the key pair of the 32-byte seed, without a header."""

    def open_(key: bytes) -> bytes | None:
        return _quietly(lambda: open_message(raw, _key_pair(key, suite), info=info))

    return Sealed(
        seal, place, raw, open_, lambda other: seal_of_message_to(seal, place, other, info, suite), is_box=True
    )


def seal_of_secret(seal: str, place: str, raw: bytes, context: bytes) -> Sealed:
    """XChaCha20-Poly1305 under the 32-byte key."""

    def open_(key: bytes) -> bytes | None:
        return _quietly(lambda: open_secret(key, raw, context=context))

    return Sealed(seal, place, raw, open_, lambda other: seal_of_secret(seal, place, other, context))


def seal_of_message(seal: str, place: str, raw: bytes, identity: IdentityTuple) -> Sealed:
    """Content or metadata: Cobblestone-256 under the 32-byte key."""
    context = identity.content_context() if seal == "content" else identity.metadata_context()

    def open_(key: bytes) -> bytes | None:
        def run() -> bytes:
            opener, plaintext = MessageOpener(ContentKey(key), context=context), bytearray(len(raw))
            written = opener.open(raw, memoryview(plaintext))
            return bytes(plaintext[:written]) + opener.finalize()

        return _quietly(run)

    return Sealed(seal, place, raw, open_, lambda other: seal_of_message(seal, place, other, identity), identity)


def seal_of_capsule(raw: bytes, wrap: WrapTuple) -> Sealed:
    """An outer lock; opened, it holds the inner lock of the same wrap tuple."""
    prefix = "personal-" if isinstance(wrap.recipient, PersonalLock) else ""
    place = f"vault.db.{'personal_' if prefix else ''}capsules"

    def inside(inner: bytes) -> Sealed:
        found = seal_of_box(f"{prefix}inner-lock", "api.ReleaseAnswer", inner, wrap.inner_info())
        return replace(found, version=wrap.identity, role=wrap.role.value)

    outer = seal_of_box(f"{prefix}outer-lock", place, raw, wrap.outer_info())
    return replace(outer, version=wrap.identity, role=wrap.role.value, inside=inside)


def suite_of(box: bytes) -> Suite:
    """The suite in the header of a box; that of tests where somebody damaged it."""
    try:
        return Suite(int.from_bytes(box[6:8], "big"))
    except ValueError:
        return WRITE_SUITE


def parse_statement(text: str) -> Signed[Any]:
    """The statement in `text`, of whatever kind its header says."""
    typ = json.loads(decode(text.partition(".")[0]))["typ"]
    parse_canonical_json(split_jws(text, typ))
    return Signed.parse(text, KINDS[typ])


def decode(text: str) -> bytes:
    """The bytes of base64url."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _wrap(identity: IdentityTuple, row: Row, recipient: CompartmentLock | PersonalLock) -> WrapTuple:
    return WrapTuple(
        identity,
        KeyRole(row["role"]),
        recipient,
        Suite(row["inner_suite"]),
        Suite(row["outer_suite"]),
        StatementHash(row["lock_statement"]),
    )


def _is_list(raw: bytes) -> bool:
    return raw.endswith(b"\n") and all(byte < 128 for byte in raw)


@lru_cache(maxsize=4096)
def _key_pair(key: bytes, suite: Suite) -> KemPrivateKey:
    return KemPrivateKey(key, suite)


def _quietly(open_: Callable[[], bytes]) -> bytes | None:
    try:
        return open_()
    except CarnetError:
        return None
