"""The key service in numbers, for officers and operators. No number says anything about one person."""

from sqlalchemy import Connection, func, select

from carnet_keyservice.locks.queries import count_by_master_key, count_retired, find_oldest_expiry
from carnet_keyservice.suites import count_by_suite
from carnet_keyservice.tables import recoveries, sealed_keys
from carnet_server.tables import grants, people


def count_all(connection: Connection, now: int) -> dict[str, int]:
    """The counts, by name. `first_lock_statement_expires_in` is in seconds, negative once one has expired unused."""
    counts = {
        "people": connection.execute(select(func.count()).select_from(people)).scalar_one(),
        "grants": connection.execute(select(func.count()).select_from(grants)).scalar_one(),
        "sealed_keys": connection.execute(select(func.count()).select_from(sealed_keys)).scalar_one(),
        "recoveries": connection.execute(select(func.count()).select_from(recoveries)).scalar_one(),
        "locks_retired": count_retired(connection),
    }
    for version, count in sorted(count_by_master_key(connection).items()):
        counts[f"locks_under_master_key_{version}"] = count
    counts |= count_by_suite(connection)
    oldest = find_oldest_expiry(connection)
    if oldest is not None:
        counts["first_lock_statement_expires_in"] = oldest - now
    return counts
