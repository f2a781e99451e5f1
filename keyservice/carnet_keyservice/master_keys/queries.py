"""Master keys in the database: their versions, states and keepers, never a key. Never commits."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from carnet_keyservice.master_keys.state import KeyState, require_transition
from carnet_keyservice.tables import master_keys


@dataclass(frozen=True, slots=True)
class MasterKeyRow:
    """One version: who keeps it and under which token, its state and since when.

    With `is_sealing` every new record lock is sealed under it, beside the others that are. Token and check value are
    empty once the provider has destroyed the key.
    """

    version: int
    provider: str
    token: bytes
    check_value: bytes
    state: KeyState
    is_sealing: bool
    made_at: int
    changed_at: int


def load_master_keys(connection: Connection) -> list[MasterKeyRow]:
    """Every version there ever was, in order."""
    return [_row(row) for row in connection.execute(select(master_keys).order_by(master_keys.c.version))]


def find_master_key(connection: Connection, version: int) -> MasterKeyRow | None:
    """The row of `version`."""
    row = connection.execute(select(master_keys).where(master_keys.c.version == version)).first()
    return None if row is None else _row(row)


def find_sealing_versions(connection: Connection) -> frozenset[int]:
    """The versions that every new record lock is sealed under; empty before the first start."""
    found = connection.execute(select(master_keys.c.version).where(master_keys.c.is_sealing == 1))
    return frozenset(found.scalars())


def find_coming_versions(connection: Connection) -> frozenset[int]:
    """The versions that may come into use at any time."""
    found = connection.execute(
        select(master_keys.c.version).where(master_keys.c.state == KeyState.PRE_ACTIVATION.value)
    )
    return frozenset(found.scalars())


def insert_master_key(connection: Connection, row: MasterKeyRow) -> None:
    """Keep a new version."""
    connection.execute(
        insert(master_keys),
        {
            "version": row.version,
            "provider": row.provider,
            "token": row.token,
            "check_value": row.check_value,
            "state": row.state.value,
            "is_sealing": int(row.is_sealing),
            "made_at": row.made_at,
            "changed_at": row.changed_at,
        },
    )


def change_state(connection: Connection, row: MasterKeyRow, state: KeyState, *, is_sealing: bool, now: int) -> None:
    """Bring `row` into `state`. Raises `TransitionError`."""
    if row.state is not state:
        require_transition(row.state, state)
    values: dict[str, Any] = {"state": state.value, "is_sealing": int(is_sealing), "changed_at": now}
    if row.state is state:
        del values["changed_at"]
    connection.execute(update(master_keys).where(master_keys.c.version == row.version).values(**values))


def touch_key(connection: Connection, row: MasterKeyRow, *, now: int) -> None:
    """Count from `now` on how long `row` has been in its state."""
    connection.execute(update(master_keys).where(master_keys.c.version == row.version).values(changed_at=now))


def forget_token(connection: Connection, version: int) -> bool:
    """Leave nothing behind by which `version` could be loaded or told, once its provider has destroyed it.

    False where that was done before.
    """
    here = master_keys.c.version == version, master_keys.c.check_value != b""
    done = connection.execute(update(master_keys).where(*here).values(token=b"", check_value=b""))
    return done.rowcount == 1


def _row(row: Row[Any]) -> MasterKeyRow:
    return MasterKeyRow(
        version=row.version,
        provider=row.provider,
        token=row.token,
        check_value=row.check_value,
        state=KeyState(row.state),
        is_sealing=bool(row.is_sealing),
        made_at=row.made_at,
        changed_at=row.changed_at,
    )
