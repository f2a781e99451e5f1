"""How PostgreSQL answers the vault's statements: by an index, in the one partition of the record. Not how fast."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, select, text

from carnet_protocol.ids import DocumentId
from carnet_server.counting import count_rows
from carnet_server.database import make_engine
from carnet_server.migrations import migrate
from carnet_server.tables import grants, statements
from carnet_vault.app import REVISIONS
from carnet_vault.tables import documents, metadata
from tests.support.fill_postgres import Amount, fill
from tests.support.plan_report import record_vault
from tests.support.plans import Plan, PlanRecorder
from tests.support.postgres import PostgresCluster

AMOUNT = Amount(records=2_400, documents=5, more=2_500, sealed_bytes=96)
FEW_ROWS = {"officers", "registrars", "revoked_attestations", "orphans", "pg_class", "erasures", "erased_objects"}
"""Tables that do not grow with people or documents, and those of erasures, of which there are few."""
WASTE = 500
"""Rows read in vain: a page's worth, a few times over, and far less than the largest record has."""
WALKS = {"gc", "status counts"}
"""Steps that are about everything there is."""
READ_BY_WALKS = {
    # Objects and uploads are compared with the store, range by range: here it is one range. Of so few grants as there
    # are here, the planner reads all as soon as it wants a hundred.
    "gc": {"objects", "uploads", "grants"},
    "status counts": {"documents", "versions", "objects", "uploads", "capsules", "personal_capsules", "grants"},
}


@pytest.fixture(scope="module")
def filled(postgres_cluster: PostgresCluster) -> Iterator[Engine]:
    """A vault's database with as many records as make the planner choose as it does in a large one."""
    with postgres_cluster.fresh_database() as url:
        engine = make_engine(url)
        migrate(engine, REVISIONS)
        fill(engine, "vault", AMOUNT)
        yield engine
        engine.dispose()


@pytest.fixture(scope="module")
def recorded(filled: Engine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Plan]]:
    """The plan of every statement of every step."""
    return record_vault(filled, tmp_path_factory.mktemp("vault"))


def test_every_table_has_its_part_in_what_was_looked_at(recorded: dict[str, list[Plan]]) -> None:
    """A statement that no step runs would be judged by nobody."""
    looked_at = {name for plans in recorded.values() for plan in plans for name in plan.tables()}
    assert set(metadata.tables) - looked_at == set()


def test_no_table_that_grows_is_read_whole(recorded: dict[str, list[Plan]]) -> None:
    found = {
        (step, name, plan.statement)
        for step, plans in recorded.items()
        for plan in plans
        for name in plan.whole_tables() - FEW_ROWS - READ_BY_WALKS.get(step, set())
    }
    assert found == set()


def test_no_partition_is_touched_that_the_record_excludes(recorded: dict[str, list[Plan]]) -> None:
    touched = [
        (step, plan.statement, name, len(partitions))
        for step, plans in recorded.items()
        # What is deleted for good is looked for, by index, wherever a key without a record may refer to it.
        if step not in {*WALKS, "erasure"}
        for plan in plans
        for name, partitions in plan.partitions().items()
    ]
    assert {name for _, _, name, _ in touched} == {"documents", "versions", "capsules", "personal_capsules"}
    assert [each for each in touched if each[-1] > 1] == []


def test_no_statement_reads_many_rows_that_do_not_count(recorded: dict[str, list[Plan]]) -> None:
    wasteful = [
        (step, plan.statement, plan.rows_thrown_away())
        for step, plans in recorded.items()
        if step not in WALKS
        for plan in plans
        if plan.rows_thrown_away() > WASTE
    ]
    assert wasteful == []


def test_a_statement_without_an_index_or_a_record_would_be_seen(filled: Engine) -> None:
    recorder = PlanRecorder(filled)
    with recorder.recording() as plans, filled.connect() as connection:
        connection.execute(select(statements.c.hash).where(statements.c.jws == "nothing"))
        connection.execute(select(documents.c.head).where(documents.c.document == DocumentId(bytes(32))))
        connection.execute(text("SELECT * FROM documents WHERE head > 5"))
    by_text, without_record, by_filter = plans
    assert by_text.whole_tables() == {"statements"}
    assert by_text.rows_thrown_away() > AMOUNT.records
    assert len(without_record.partitions()["documents"]) == 16
    assert by_filter.whole_tables() == {"documents"}


def test_large_tables_are_counted_by_statistics_and_small_ones_one_by_one(filled: Engine) -> None:
    recorder = PlanRecorder(filled)
    for table, exact in ((documents, AMOUNT.records * AMOUNT.documents + AMOUNT.more), (grants, 5 * AMOUNT.records)):
        with recorder.recording() as plans, filled.connect() as connection:
            about = count_rows(connection, table, exact_until=100)
        assert table.name not in {name for plan in plans for name in plan.tables()}
        assert 0.9 * exact <= about <= 1.1 * exact
        with filled.connect() as connection:
            counted = connection.execute(text(f"SELECT count(*) FROM {table.name}")).scalar_one()  # noqa: S608  ours
            assert count_rows(connection, table) == counted
