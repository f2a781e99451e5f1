"""People and their devices in the database. Never commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, literal, null, or_, select, union_all, update

from carnet_protocol.api import PersonBundle
from carnet_protocol.ids import Ed25519PublicKey, Fingerprint, IdentityHash, StatementHash
from carnet_protocol.requests import KeyId
from carnet_protocol.statements import Device, Identity, Removal, Role, Signed
from carnet_server.prepared import Prepared
from carnet_server.principals import PrincipalKind, SigningKey
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
    received_at: int
    void_from: int | None

    @property
    def is_void(self) -> bool:
        """Whether it was shut out: it may then do nothing more."""
        return self.void_from is not None


_PERSON = select(people).where(people.c.identity == bindparam("wanted"))
_PERSON_BY_ROOT = select(people).where(people.c.root_fingerprint == bindparam("wanted"))
_DEVICE = (
    select(devices, people.c.role)
    .join(people, people.c.identity == devices.c.identity)
    .where(devices.c.hash == bindparam("wanted"))
)
_KEY = Prepared(
    union_all(
        select(devices.c.device_key, devices.c.identity, literal(PrincipalKind.DEVICE.value).label("kind")).where(
            devices.c.hash == bindparam("name"), devices.c.void_from.is_(None)
        ),
        select(people.c.root_key, people.c.identity, literal(PrincipalKind.ROOT.value)).where(
            people.c.root_fingerprint == bindparam("name")
        ),
        select(officers.c.public_key, null(), literal(PrincipalKind.OFFICER.value)).where(
            officers.c.fingerprint == bindparam("name"), officers.c.retired.is_(None)
        ),
    )
)
_STATEMENT_OWNER = select(identities.c.identity).where(identities.c.hash == bindparam("wanted"))


def find_person(connection: Connection, identity: IdentityHash) -> PersonRow | None:
    """The person `identity`."""
    return _person(connection.execute(_PERSON, {"wanted": identity}).first())


def find_person_by_root(connection: Connection, root: Fingerprint) -> PersonRow | None:
    """The person whose root key now has the fingerprint `root`."""
    return _person(connection.execute(_PERSON_BY_ROOT, {"wanted": root}).first())


def find_device(connection: Connection, device: StatementHash) -> DeviceRow | None:
    """The device called `device`, shut out or not."""
    row = connection.execute(_DEVICE, {"wanted": device}).first()
    if row is None:
        return None
    return DeviceRow(row.hash, row.identity, Role(row.role), row.device_key, row.received_at, row.void_from)


def find_key(connection: Connection, key_id: KeyId) -> SigningKey | None:
    """The key in force that a request names: of a device not shut out, a root key, or an officer's. One query."""
    row = _KEY.first(connection, name=key_id.raw)
    if row is None:
        return None
    public_key, identity, kind = row
    owner = None if identity is None else IdentityHash(identity)
    return SigningKey(Ed25519PublicKey(public_key), PrincipalKind(kind), owner)


def find_owner(connection: Connection, statement: StatementHash) -> IdentityHash | None:
    """The person in whose chain the identity statement `statement` is."""
    owner: IdentityHash | None = connection.execute(_STATEMENT_OWNER, {"wanted": statement}).scalar()
    return owner


def count_devices(connection: Connection, identity: IdentityHash) -> int:
    """How many devices the person ever enrolled."""
    return connection.execute(select(func.count()).where(devices.c.identity == identity)).scalar_one()


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
            "root_fingerprint": body.root_key.fingerprint(),
        },
    )
    _insert_identity(connection, IdentityHash(signed.hash.raw), signed)


def insert_successor(connection: Connection, person: PersonRow, signed: Signed[Identity]) -> None:
    """Keep the later statement `signed` of `person` as the newest one."""
    body = signed.body
    connection.execute(
        update(people)
        .where(people.c.identity == person.identity)
        .values(
            current=signed.hash,
            serial=body.serial,
            root_key=body.root_key,
            root_fingerprint=body.root_key.fingerprint(),
        )
    )
    _insert_identity(connection, person.identity, signed)


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


def make_void(connection: Connection, device: StatementHash, *, since: int) -> None:
    """Shut `device` out from `since`, or leave the earlier time that was said before."""
    connection.execute(
        update(devices)
        .where(devices.c.hash == device, or_(devices.c.void_from.is_(None), devices.c.void_from > since))
        .values(void_from=since)
    )


def find_enrolled_by(connection: Connection, device: StatementHash, *, since: int) -> Sequence[StatementHash]:
    """The devices that `device` enrolled and that came at or after `since`."""
    return (
        connection.execute(
            select(devices.c.hash).where(devices.c.enrolled_by == device, devices.c.received_at >= since)
        )
        .scalars()
        .all()
    )


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
    connection.execute(insert(identities), {"hash": signed.hash, "identity": identity, "serial": signed.body.serial})


def _person(row: Row[Any] | None) -> PersonRow | None:
    if row is None:
        return None
    return PersonRow(row.identity, Role(row.role), row.current, row.serial, row.root_key)
