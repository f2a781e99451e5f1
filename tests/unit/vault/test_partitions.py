"""Tables in partitions by record on PostgreSQL: `fsck` sees each that is not as declared, and unique stays unique."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, insert, select, text
from sqlalchemy.exc import IntegrityError

from carnet_protocol.ids import RecordId
from carnet_server.database import make_engine
from carnet_server.migrations import find_differences, migrate
from carnet_server.partitions import PARTITIONS, list_partitions, name_partitions
from carnet_vault.app import REVISIONS
from carnet_vault.tables import documents, metadata, objects, versions
from tests.support.postgres import PostgresCluster
from tests.support.tables import unchanged
from tests.support.vault import VaultStory

PARTITIONED = ("capsules", "documents", "personal_capsules", "versions")
HASHED = "HASH (record)"
HALF = "CREATE TABLE capsules_p03 PARTITION OF capsules FOR VALUES WITH (MODULUS 32, REMAINDER 3)"


@pytest.fixture
def own_engine(postgres_cluster: PostgresCluster) -> Iterator[Engine]:
    """A migrated PostgreSQL database of this test alone, whose language does not sort by ASCII codes."""
    with postgres_cluster.fresh_database(locale="en-US") as url:
        made = make_engine(url)
        migrate(made, REVISIONS)
        yield made
        made.dispose()


def test_the_tables_are_those_that_the_revisions_made_partitions_included(engine: Engine) -> None:
    with engine.connect() as connection:
        assert find_differences(connection, metadata) == []
        made = list_partitions(connection)
    expected = {name for table in PARTITIONED for name in name_partitions(table)}
    assert made == (expected if engine.dialect.name == "postgresql" else set())
    assert len(expected) == PARTITIONS * len(PARTITIONED)


def test_what_is_partitioned_is_what_the_tables_say() -> None:
    declared = {
        name for name, table in metadata.tables.items() if table.dialect_options["postgresql"]["partition_by"] == HASHED
    }
    assert declared == set(PARTITIONED)


@pytest.mark.parametrize(
    ("damage", "difference"),
    [
        ("DROP TABLE capsules_p03", ("partition", "capsules_p03")),
        ("ALTER TABLE capsules DETACH PARTITION capsules_p03", ("partition", "capsules_p03")),
        ("ALTER TABLE capsules_p03 RENAME TO other", ("partition", "other")),
        (
            f"DROP TABLE capsules_p03; {HALF}",
            ("partition", "capsules_p03"),
        ),
        (
            "CREATE INDEX more ON documents_p07 (head)",
            ("partition_of_another_form", "documents_p07.more"),
        ),
        (
            "ALTER TABLE documents_p07 ADD CONSTRAINT small CHECK (head < 5)",
            ("partition_of_another_form", "documents_p07.small"),
        ),
        (
            "ALTER TABLE versions_p00 ADD CONSTRAINT more FOREIGN KEY (manifest) REFERENCES statements (hash)",
            ("partition_of_another_form", "versions_p00.more"),
        ),
        ("CREATE INDEX whole ON ONLY documents (head)", ("index_invalid", "whole")),
        (
            "DROP TABLE personal_capsules; CREATE TABLE personal_capsules (record bytea)",
            ("partition_key", "personal_capsules"),
        ),
        (
            "DROP TABLE nonces; CREATE TABLE nonces (record bytea) PARTITION BY HASH (record)",
            ("partition_key", "nonces"),
        ),
    ],
)
def test_each_difference_of_a_partition_is_found(
    postgres_engine: Engine, damage: str, difference: tuple[str, str]
) -> None:
    with postgres_engine.connect() as connection:  # what is not committed is undone
        connection.execute(text(damage))
        assert difference in find_differences(connection, metadata)


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE versions DROP CONSTRAINT uq_versions_record_object",
        "ALTER TABLE versions DROP CONSTRAINT fk_versions_record_document_documents",
        "ALTER TABLE versions DROP CONSTRAINT fk_versions_record_object_objects",
        "ALTER TABLE versions ADD CONSTRAINT more FOREIGN KEY (record) REFERENCES people (identity)",
        "DROP INDEX ix_documents_tombstoned",
        "ALTER TABLE documents ADD COLUMN title text",
        "ALTER TABLE documents DROP COLUMN listed",
    ],
)
def test_what_a_partitioned_table_differs_in_is_found_as_of_any_other(postgres_engine: Engine, damage: str) -> None:
    with postgres_engine.connect() as connection:  # what is not committed is undone
        connection.execute(text(damage))
        assert find_differences(connection, metadata)


def test_object_names_are_in_the_order_of_the_store_in_a_database_of_any_language(own_engine: Engine) -> None:
    names = ["b", "B", "a-b", "ab", "a_b", "A"]
    with own_engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(
            insert(objects), [{"name": name, "record": RecordId(bytes(32)), "size": 1} for name in names]
        )
        by_language = connection.execute(select(objects.c.name).order_by(objects.c.name.collate("en-US-x-icu")))
        assert list(by_language.scalars()) != sorted(names)
        by_default = connection.execute(select(objects.c.name).order_by(objects.c.name))
        assert list(by_default.scalars()) == sorted(names)


def test_an_object_belongs_to_one_version_of_one_record(story: VaultStory) -> None:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    engine, elsewhere = story.world.engine, RecordId(story.bob.identity.raw)
    with engine.begin() as connection:
        version = connection.execute(select(versions)).one()._asdict()
        document = connection.execute(select(documents)).one()._asdict()
        connection.execute(insert(documents), document | {"record": elsewhere})
    second = version | {"version": 2, "manifest": story.bob.current.hash}
    with unchanged(engine):
        for wrong in (second, version | {"record": elsewhere}):
            with pytest.raises(IntegrityError), engine.begin() as connection:
                connection.execute(insert(versions), wrong)
    with engine.begin() as connection:
        connection.execute(
            insert(versions), [second | {"object": None}, version | {"record": elsewhere, "object": None}]
        )
