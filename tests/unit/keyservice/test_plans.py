"""How PostgreSQL answers the key service's statements: by an index. Not how fast."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from carnet_keyservice.app import REVISIONS
from carnet_keyservice.master_keys.queries import MasterKeyRow, insert_master_key
from carnet_keyservice.master_keys.state import KeyState
from carnet_keyservice.rotation.job import Phase, Shard
from carnet_keyservice.rotation.seals import NewSeal, delete_seals, load_pairs, replace_seals
from carnet_keyservice.tables import metadata
from carnet_protocol.ids import JobId
from carnet_server.database import make_engine
from carnet_server.migrations import migrate
from tests.support.fill_postgres import Amount, fill
from tests.support.plan_report import record_keyservice
from tests.support.plans import Plan, PlanRecorder
from tests.support.postgres import PostgresCluster

AMOUNT = Amount(records=3_000, documents=6, sealed_bytes=96)
BATCH = 5
OF_ROTATION = {"master_keys", "jobs", "job_shards", "job_skips", "processes", "process_keys"}
FEW_ROWS = {"officers", "registrars", "revoked_attestations", "erasures"} | OF_ROTATION
"""Tables that do not grow with people or documents."""


@pytest.fixture(scope="module")
def recorded(
    postgres_cluster: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, list[Plan]]]:
    """The plan of every statement of every step, among as many records as make the planner choose as in a large one."""
    with postgres_cluster.fresh_database() as url:
        engine = make_engine(url)
        migrate(engine, REVISIONS)
        fill(engine, "keyservice", AMOUNT)
        yield record_keyservice(engine, tmp_path_factory.mktemp("keyservice"))
        engine.dispose()


def test_every_table_has_its_part_in_what_was_looked_at(recorded: dict[str, list[Plan]]) -> None:
    """A statement that no step runs would be judged by nobody."""
    looked_at = {name for plans in recorded.values() for plan in plans for name in plan.tables()}
    assert set(metadata.tables) - looked_at - OF_ROTATION == set()


def test_no_table_that_grows_is_read_whole(recorded: dict[str, list[Plan]]) -> None:
    found = {
        (step, name, plan.statement)
        for step, plans in recorded.items()
        for plan in plans
        for name in plan.whole_tables() - FEW_ROWS
    }
    assert found == set()


def test_no_statement_reads_many_rows_that_do_not_count(recorded: dict[str, list[Plan]]) -> None:
    wasteful = [
        (step, plan.statement, plan.rows_thrown_away())
        for step, plans in recorded.items()
        for plan in plans
        if plan.rows_thrown_away() > 20
    ]
    assert wasteful == []


def test_a_rotation_reads_each_seal_by_its_place_before_the_planner_knows_of_the_new_ones(
    postgres_cluster: PostgresCluster,
) -> None:
    """The planner looked at the table before the rotation, and believes that nothing is sealed under the new key."""
    shard = Shard(JobId(bytes(JobId.SIZE)), Phase.WRITE, 0, b"", done=0, skipped=0, is_done=False)
    fresh = MasterKeyRow(2, "file", b"", b"", KeyState.ACTIVE, is_sealing=True, made_at=0, changed_at=0)
    with postgres_cluster.fresh_database() as url:
        engine = make_engine(url)
        migrate(engine, REVISIONS)
        fill(engine, "keyservice", AMOUNT)
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE lock_seals SET (autovacuum_enabled = off)"))
            insert_master_key(connection, fresh)
            connection.execute(text("ANALYZE"))
            # What other batches have written.
            connection.execute(
                text(
                    "INSERT INTO lock_seals SELECT record, version, 2, sealed_seed FROM lock_seals"
                    " WHERE record > decode(:last, 'hex')"
                ),
                {"last": shard.last.hex()},
            )
        with PlanRecorder(engine).recording() as plans, engine.begin() as connection:
            pairs = load_pairs(connection, shard, old=1, new=2, limit=BATCH)
            seals = [NewSeal(pair.record, pair.version, pair.old) for pair in pairs if pair.old is not None]
            replace_seals(connection, seals, old=1, new=2, broken=seals[:1])
            load_pairs(connection, shard, old=1, new=2, limit=BATCH)
            delete_seals(connection, [(pair.record, pair.version) for pair in pairs], gone=[1], kept=2)
        with engine.connect() as connection:
            (left,) = connection.execute(text("SELECT count(*) FROM lock_seals WHERE master_key_version = 1")).one()
        engine.dispose()
    assert left == AMOUNT.records - BATCH
    assert len(plans) >= 5
    wasteful = [(plan.statement, plan.shape()) for plan in plans if plan.rows_thrown_away() > 10 * BATCH]
    assert wasteful == []
    assert {name for plan in plans for name in plan.whole_tables()} - FEW_ROWS == set()
