"""Statements: each parses, has its hash, is signed by who may sign its kind, and was logged when it was accepted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, select

from carnet_protocol.encoding import parse_canonical_json
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import Ed25519PublicKey, Fingerprint, IdentityHash, StatementHash
from carnet_protocol.statements import (
    KINDS,
    Attestation,
    Destruction,
    Device,
    Erasure,
    Identity,
    Lock,
    Manifest,
    Recovery,
    Removal,
    RevocationList,
    RotationReport,
    Signed,
    Succession,
    Tombstone,
)
from carnet_server.deployment import Deployment
from carnet_server.fsck.finding import Finding
from carnet_server.statements.parse import AnyStatement
from carnet_server.tables import devices, erasures, events, identities, officers, statements

_BY_NAME = {kind.KIND: kind for kind in KINDS.values()}
_ROWS_AT_ONCE = 1000


@dataclass(slots=True)
class Signers:
    """Every key that ever signed statements here, and whose it is."""

    keyservice: Ed25519PublicKey
    registrars: Mapping[Fingerprint, Ed25519PublicKey]
    chains: dict[IdentityHash, list[Signed[Identity]]] = field(default_factory=dict)
    devices: dict[StatementHash, tuple[IdentityHash, Ed25519PublicKey]] = field(default_factory=dict)
    officers: dict[Fingerprint, Ed25519PublicKey] = field(default_factory=dict)

    @classmethod
    def load(cls, connection: Connection, deployment: Deployment) -> "Signers":
        """The keys that the database and the service card know."""
        signers = cls(Ed25519PublicKey(deployment.card.body.keyservice.key.raw), deployment.registrars)
        rows = connection.execute(
            select(identities.c.identity, statements.c.jws)
            .join(statements, statements.c.hash == identities.c.hash)
            .order_by(identities.c.identity, identities.c.serial)
        )
        for identity, jws in rows:
            try:
                signers.chains.setdefault(identity, []).append(Signed.parse(jws, Identity))
            except ProtocolError:
                continue  # reported where each statement is checked
        for row in connection.execute(select(devices)):
            signers.devices[row.hash] = (row.identity, row.device_key)
        for officer in connection.execute(select(officers)):
            signers.officers[officer.fingerprint] = officer.public_key
        return signers

    def roots(self, identity: IdentityHash) -> list[Ed25519PublicKey]:
        """Every root key in the chain of `identity`."""
        return list(dict.fromkeys(signed.body.root_key for signed in self.chains.get(identity, [])))

    def device(self, device: StatementHash, owner: IdentityHash) -> list[Ed25519PublicKey]:
        """The key of `device`, if it is one of `owner`."""
        identity, key = self.devices.get(device, (None, None))
        return [key] if identity == owner and key is not None else []


def check_statements(connection: Connection, signers: Signers) -> Iterator[Finding]:
    """Every accepted statement.

    1. It is a statement of the kind of its row, and its hash is the row's.
    2. One of the keys that may sign it did.
    3. The event that accepted it names it.
    4. It is not about a record that was erased, but for the erasure itself.
    """
    erased = set(connection.execute(select(erasures.c.record)).scalars())
    rows = connection.execute(
        select(statements, events.c.body).outerjoin(events, events.c.position == statements.c.event)
    )
    for row in rows.yield_per(_ROWS_AT_ONCE):
        where = f"{row.kind} {row.hash}"
        # 1
        try:
            signed: AnyStatement = Signed.parse(row.jws, _BY_NAME[row.kind])
        except (ProtocolError, KeyError):
            yield Finding("statement_malformed", where)
            continue
        if signed.hash != row.hash:
            yield Finding("statement_of_another_hash", where)
        # 2
        if not _is_signed(signed, find_keys(signed, signers)):
            yield Finding("statement_not_signed", where)
        # 3
        if not _names(row, signed.hash):
            yield Finding("statement_not_logged", where)
        # 4
        if getattr(signed.body, "record", None) in erased and not isinstance(signed.body, Erasure):
            yield Finding("statement_of_an_erased_record", where)


def find_keys(  # noqa: PLR0911  one return for each kind
    signed: AnyStatement, signers: Signers
) -> list[Ed25519PublicKey]:
    """The keys of which one must have signed `signed`."""
    body = signed.body
    match body:
        case Identity():
            return _keys_of_identity(signed, signers)
        case Device():
            by = body.enrolled_by
            return signers.roots(body.identity) if by is None else signers.device(by, body.identity)
        case Removal() | Recovery():
            return signers.roots(body.identity)
        case Attestation() | RevocationList():
            registrar = signers.registrars.get(body.registrar)
            return [] if registrar is None else [registrar]
        case Succession():
            return signers.roots(body.predecessor)
        case Erasure():
            return signers.roots(body.record.patient())
        case Lock() | RotationReport():
            return [signers.keyservice]
        case Manifest():
            return signers.device(body.device, body.author)
        case Tombstone():
            return signers.device(body.device, body.by)
        case Destruction():
            officer = signers.officers.get(body.officer)
            return [] if officer is None else [officer]
        case _:
            return signers.device(body.device, body.record.patient())


def _keys_of_identity(signed: Signed[Identity], signers: Signers) -> list[Ed25519PublicKey]:
    """The root key before a later statement, or a founding statement's own."""
    if signed.body.founding is None:
        return [signed.body.root_key]
    return [
        before.body.root_key
        for before in signers.chains.get(signed.body.founding, [])
        if before.hash == signed.body.previous
    ]


def _is_signed(signed: AnyStatement, keys: list[Ed25519PublicKey]) -> bool:
    for key in keys:
        try:
            signed.verify(key)
        except ProtocolError:
            continue
        return True
    return False


def _names(row: Row[Any], statement: StatementHash) -> bool:
    try:
        return row.body is not None and parse_canonical_json(row.body).get("statement") == str(statement)
    except ProtocolError:
        return False
