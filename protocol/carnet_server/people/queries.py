"""People and their devices in the database. Never commits."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, insert, literal, null, select, union_all, update

from carnet_protocol.api import PersonBundle
from carnet_protocol.ids import Ed25519PublicKey, IdentityHash, StatementHash
from carnet_protocol.requests import KeyId
from carnet_protocol.statements import Device, Identity, Removal, Role, Signed
from carnet_server.prepared import Prepared
from carnet_server.principals import KeyLookUp, PrincipalKind, SigningKey
from carnet_server.tables import devices, identities, officers, people, removals, statements


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A person as they are now."""

    identity: IdentityHash
    role: Role
    current: StatementHash
    serial: int
    root_key: Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device, whose it is, and whether it was shut out."""

    hash: StatementHash
    identity: IdentityHash
    role: Role
    device_key: Ed25519PublicKey
    enrolled_by: StatementHash | None
    received_at: int
    void_from: int | None

    @property
    def is_void(self) -> bool:
        """Whether it was shut out: it may then do nothing more."""
        return self.void_from is not None


_PERSON = select(people).where(people.c.identity == bindparam("wanted"))
_DEVICES = select(devices, people.c.role).join(people, people.c.identity == devices.c.identity)
_DEVICE = _DEVICES.where(devices.c.hash == bindparam("wanted"))
_DEVICES_OF = _DEVICES.where(devices.c.identity == bindparam("wanted"))
_DEVICE_KEY = select(devices.c.device_key, devices.c.identity, literal(PrincipalKind.DEVICE.value).label("kind")).where(
    devices.c.hash == bindparam("name"), devices.c.void_from.is_(None)
)
_OFFICER_KEY = select(officers.c.public_key, null(), literal(PrincipalKind.OFFICER.value)).where(
    officers.c.fingerprint == bindparam("name"), officers.c.retired.is_(None)
)
_IDENTITY = (
    select(statements.c.jws)
    .join(identities, identities.c.hash == statements.c.hash)
    .where(identities.c.hash == bindparam("wanted"), identities.c.identity == bindparam("identity"))
)
_CHAIN = (
    select(statements.c.jws)
    .join(identities, identities.c.hash == statements.c.hash)
    .where(identities.c.identity == bindparam("identity"))
    .order_by(identities.c.serial)
)
_STATEMENT_OWNER = select(identities.c.identity).where(identities.c.hash == bindparam("wanted"))


def find_person(connection: Connection, identity: IdentityHash) -> PersonRow | None:
    """The person `identity`."""
    return _person(connection.execute(_PERSON, {"wanted": identity}).first())


def find_root_key(connection: Connection, identity: IdentityHash, statement: StatementHash) -> Ed25519PublicKey | None:
    """The root key in the identity statement `statement`, if that is in the chain of `identity`."""
    jws = connection.execute(_IDENTITY, {"wanted": statement, "identity": identity}).scalar()
    return None if jws is None else Signed.parse(jws, Identity).body.root_key


def load_root_keys(connection: Connection, identity: IdentityHash) -> list[Ed25519PublicKey]:
    """The root key in each identity statement of the person, oldest first."""
    texts = connection.execute(_CHAIN, {"identity": identity}).scalars()
    return [Signed.parse(jws, Identity).body.root_key for jws in texts]


def find_device(connection: Connection, device: StatementHash) -> DeviceRow | None:
    """The device called `device`, shut out or not."""
    row = connection.execute(_DEVICE, {"wanted": device}).first()
    return None if row is None else _device(row)


def load_devices(connection: Connection, identity: IdentityHash) -> dict[StatementHash, DeviceRow]:
    """Every device of the person, shut out or not."""
    return {row.hash: _device(row) for row in connection.execute(_DEVICES_OF, {"wanted": identity})}


def make_key_look_up(*others: Select[Any]) -> KeyLookUp:
    """What finds the key in force that a request names, with one query.

    It is that of a device not shut out, an officer's, or one that a query of `others` gives for `name`. A device is
    named by its statement, which says whose it is: the same key under another person has another name. An officer's key
    is named by its fingerprint, as a root key is: where it is both, it is the officer's.
    """
    query = Prepared(union_all(_DEVICE_KEY, _OFFICER_KEY, *others))

    def find(connection: Connection, key_id: KeyId) -> SigningKey | None:
        keys = [_signing_key(*row) for row in query.rows(connection, name=key_id.raw)]
        return next((key for key in keys if key.kind is PrincipalKind.OFFICER), keys[0] if keys else None)

    return find


find_key = make_key_look_up()
"""What a server uses to which root keys sign no requests."""


def find_owner(connection: Connection, statement: StatementHash) -> IdentityHash | None:
    """The person in whose chain the identity statement `statement` is."""
    owner: IdentityHash | None = connection.execute(_STATEMENT_OWNER, {"wanted": statement}).scalar()
    return owner


def count_removals(connection: Connection, identity: IdentityHash) -> int:
    """How many removals the person ever made."""
    return connection.execute(select(func.count()).where(removals.c.identity == identity)).scalar_one()


def insert_person(connection: Connection, signed: Signed[Identity]) -> None:
    """Keep the founding statement `signed`."""
    body = signed.body
    connection.execute(
        insert(people),
        {
            "identity": IdentityHash(signed.hash.raw),
            "role": body.role.value,
            "current": signed.hash,
            "serial": 0,
            "root_key": body.root_key,
        },
    )
    _insert_identity(connection, IdentityHash(signed.hash.raw), signed)


def insert_successor(connection: Connection, identity: IdentityHash, signed: Signed[Identity]) -> None:
    """Keep the later statement `signed` of the person `identity` as the newest one."""
    body = signed.body
    connection.execute(
        update(people)
        .where(people.c.identity == identity)
        .values(
            current=signed.hash,
            serial=body.serial,
            root_key=body.root_key,
        )
    )
    _insert_identity(connection, identity, signed)


def insert_device(connection: Connection, signed: Signed[Device], *, now: int) -> None:
    """Keep the device `signed`."""
    connection.execute(
        insert(devices),
        {
            "hash": signed.hash,
            "identity": signed.body.identity,
            "device_key": signed.body.device_key,
            "enrolled_by": signed.body.enrolled_by,
            "received_at": now,
            "void_from": None,
        },
    )


def insert_removal(connection: Connection, signed: Signed[Removal]) -> None:
    """Keep the removal `signed`."""
    body = signed.body
    connection.execute(
        insert(removals),
        {"hash": signed.hash, "identity": body.identity, "device": body.device, "since": body.since},
    )


def make_void(connection: Connection, fallen: Collection[StatementHash], *, since: int) -> None:
    """Shut the devices `fallen` out from `since`."""
    connection.execute(update(devices).where(devices.c.hash.in_(fallen)).values(void_from=since))


def load_bundle(connection: Connection, identity: IdentityHash) -> PersonBundle:
    """The statements of a known person, each list in the order of acceptance."""
    return load_bundles(connection, [identity])[identity]


def load_bundles(connection: Connection, wanted: Sequence[IdentityHash]) -> dict[IdentityHash, PersonBundle]:
    """The bundle of each known person in `wanted`."""
    lists: dict[IdentityHash, tuple[list[str], list[str], list[str]]] = {}
    for place, table in enumerate((identities, devices, removals)):
        rows = connection.execute(
            select(table.c.identity, statements.c.jws)
            .join(statements, statements.c.hash == table.c.hash)
            .where(table.c.identity.in_(wanted))
            .order_by(statements.c.event)
        )
        for identity, jws in rows:
            lists.setdefault(identity, ([], [], []))[place].append(jws)
    return {
        identity: PersonBundle(identities=tuple(chain), devices=tuple(enrolled), removals=tuple(removed))
        for identity, (chain, enrolled, removed) in lists.items()
    }


def _insert_identity(connection: Connection, identity: IdentityHash, signed: Signed[Identity]) -> None:
    body = signed.body
    connection.execute(
        insert(identities),
        {"hash": signed.hash, "identity": identity, "serial": body.serial, "suite": int(body.suite)},
    )


def _device(row: Row[Any]) -> DeviceRow:
    return DeviceRow(
        row.hash, row.identity, Role(row.role), row.device_key, row.enrolled_by, row.received_at, row.void_from
    )


def _signing_key(public_key: bytes, identity: bytes | None, kind: str) -> SigningKey:
    owner = None if identity is None else IdentityHash(identity)
    return SigningKey(Ed25519PublicKey(public_key), PrincipalKind(kind), owner)


def _person(row: Row[Any] | None) -> PersonRow | None:
    if row is None:
        return None
    return PersonRow(row.identity, Role(row.role), row.current, row.serial, row.root_key)
