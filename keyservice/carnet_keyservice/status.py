"""The key service in numbers, for officers and operators. No number says anything about one person."""

from collections.abc import Callable

from sqlalchemy import Connection

from carnet_keyservice.locks.queries import count_by_master_key, count_retired, find_oldest_expiry
from carnet_keyservice.schedule import Policy, load_schedule
from carnet_keyservice.suites import count_by_suite
from carnet_keyservice.tables import recoveries, sealed_keys
from carnet_server.counting import count_rows
from carnet_server.tables import grants, people


def counts_under(policy: Policy) -> Callable[[Connection, int], dict[str, int]]:
    """What counts at a time, with `policy` for when keys are due."""

    def count(connection: Connection, now: int) -> dict[str, int]:
        return count_all(connection, policy, now=now)

    return count


def count_all(connection: Connection, policy: Policy, *, now: int) -> dict[str, int]:
    """The counts, by name.

    `first_lock_statement_expires_in` is in seconds, negative once one has expired unused. So is what ends in `_due_in`,
    negative once the rotation is overdue, and in `_age`.
    """
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
    return counts | count_due(connection, policy, now=now)


def count_due(connection: Connection, policy: Policy, *, now: int) -> dict[str, int]:
    """What somebody is to do, and when."""
    schedule = load_schedule(connection, policy, now=now)
    counts = {}
    for name, made_at, seconds in (
        ("master_key", schedule.master_key_made_at, policy.master_key_seconds),
        ("oldest_record_lock", schedule.oldest_lock_made_at, policy.record_lock_seconds),
    ):
        if made_at is not None:
            counts[f"{name}_age"] = now - made_at
            counts[f"{name}_due_in"] = made_at + seconds - now
    counts["master_keys_destroyable"] = len(schedule.destroyable)
    counts["master_keys_not_yet_destroyed_by_their_provider"] = len(schedule.unconfirmed)
    counts["rotations_that_need_somebody"] = int(schedule.needs_somebody)
    return counts
