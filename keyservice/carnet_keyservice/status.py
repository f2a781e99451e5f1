"""The key service in numbers, for officers and operators. No number says anything about one person."""

from sqlalchemy import Connection

from carnet_keyservice.locks.queries import count_by_master_key, count_retired, find_oldest_expiry
from carnet_keyservice.suites import count_by_suite
from carnet_keyservice.tables import recoveries, sealed_keys
from carnet_server.counting import count_rows
from carnet_server.tables import grants, people


def count_all(connection: Connection, now: int) -> dict[str, int]:
    """The counts, by name. `first_lock_statement_expires_in` is in seconds, negative once one has expired unused."""
    counts = {
        "people": count_rows(connection, people),
        "grants": count_rows(connection, grants),
        "sealed_keys": count_rows(connection, sealed_keys),
        "recoveries": count_rows(connection, recoveries),
        "locks_retired": count_retired(connection),
    }
    for version, count in sorted(count_by_master_key(connection).items()):
        counts[f"locks_under_master_key_{version}"] = count
    counts |= count_by_suite(connection)
    oldest = find_oldest_expiry(connection)
    if oldest is not None:
        counts["first_lock_statement_expires_in"] = oldest - now
    return counts
