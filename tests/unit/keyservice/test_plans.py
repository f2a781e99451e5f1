"""How PostgreSQL answers the key service's statements: by an index. Not how fast."""

from collections.abc import Iterator

import pytest

from carnet_keyservice.app import REVISIONS
from carnet_keyservice.tables import metadata
from carnet_server.database import make_engine
from carnet_server.migrations import migrate
from tests.support.fill_postgres import Amount, fill
from tests.support.plan_report import record_keyservice
from tests.support.plans import Plan
from tests.support.postgres import PostgresCluster

AMOUNT = Amount(records=3_000, documents=6, sealed_bytes=96)
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
