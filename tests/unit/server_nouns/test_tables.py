"""The shared tables are well formed, alike in every copy, and strict."""

from sqlalchemy import MetaData, create_engine, inspect, text

from carnet_server.tables import NAMING, copy_tables, metadata


def test_a_copy_holds_every_shared_table_and_can_be_created() -> None:
    target = MetaData(naming_convention=NAMING)
    copy_tables(target)
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        target.create_all(connection)
        assert sorted(inspect(connection).get_table_names()) == sorted(metadata.tables)


def test_a_copy_leaves_the_shared_metadata_alone() -> None:
    before = sorted(metadata.tables)
    target = MetaData(naming_convention=NAMING)
    copy_tables(target)
    assert sorted(metadata.tables) == before
    assert target.tables["grants"] is not metadata.tables["grants"]


def test_every_table_is_strict_in_sqlite() -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        metadata.create_all(connection)
        rows = connection.execute(text("PRAGMA table_list")).mappings().all()
    strict = {row["name"] for row in rows if row["strict"]}
    assert set(metadata.tables) <= strict
