"""The log: gapless, never back in time, committed to, and shown to whom it concerns."""

import hashlib

import pytest

from carnet_protocol.encoding import parse_canonical_json
from carnet_protocol.ids import (
    DocumentId,
    Fingerprint,
    IdentityHash,
    RecordId,
    Sha256Digest,
    StatementHash,
    derive_event_commitment,
    pack_event_leaf,
)
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Receipt, Signed
from carnet_protocol.tuples import KeyRole
from carnet_server.clock import CLOCK_TOLERANCE_SECONDS
from carnet_server.errors import ClockBehindError
from carnet_server.events import LoggedEvent, NewEvent, VersionKey, append_event, find_event, find_newest_time
from carnet_server.events.queries import count_events, load_page
from tests.support.nouns import World
from tests.support.people import NOW, Dice
from tests.support.tables import unchanged

RECORD, OTHER = RecordId(b"r" * 32), RecordId(b"o" * 32)
SERVER = Fingerprint(b"s" * 32)


def log(world: World, event: NewEvent, *, at: int = NOW) -> LoggedEvent:
    """Append `event` at time `at`."""
    with world.engine.begin() as connection:
        return append_event(connection, event, server=SERVER, now=at, random=Dice("salt"))


def test_indices_count_from_zero_and_an_undone_event_leaves_no_gap(world: World) -> None:
    assert log(world, NewEvent("a")).index == 0

    with world.engine.connect() as connection:
        transaction = connection.begin()
        assert append_event(connection, NewEvent("undone"), server=SERVER, now=NOW).index == 1
        transaction.rollback()
    assert log(world, NewEvent("b")).index == 1
    with world.moment() as moment:
        assert count_events(moment.connection) == 2


def test_an_event_is_committed_to_and_its_leaf_is_the_receipts(world: World) -> None:
    logged = log(world, NewEvent("release.open", record=RECORD))
    with world.moment() as moment:
        (event,) = load_page(moment.connection, RECORD, after=-1).events
    assert event.salt == Dice("salt")(32)
    assert event.commitment == derive_event_commitment(event.salt, event.body)
    leaf = pack_event_leaf(SERVER, 0, NOW, event.commitment)
    assert logged.leaf == Sha256Digest(hashlib.sha256(b"\0" + leaf).digest())
    log_key = Signer(bytes(32))
    receipt = Signed.parse(logged.receipt(server=SERVER, log_key=log_key), Receipt)
    receipt.verify(log_key.public_key)
    assert receipt.body == Receipt(server=SERVER, index=0, time=NOW, leaf=logged.leaf)
    assert logged.receipt(server=SERVER, log_key=log_key) == receipt.text


def test_a_body_holds_every_member_and_null_where_it_says_nothing() -> None:
    key = VersionKey(DocumentId(b"d" * 32), 3, KeyRole.CONTENT)
    event = NewEvent(
        "release.open",
        record=RECORD,
        by=IdentityHash(b"i" * 32),
        device=StatementHash(b"k" * 32),
        grant=StatementHash(b"g" * 32),
        documents=(key,),
        detail={"version": 2},
    )
    assert parse_canonical_json(event.body()) == {
        "kind": "release.open",
        "record": str(RECORD),
        "by": str(event.by),
        "device": str(event.device),
        "grant": str(event.grant),
        "statement": None,
        "documents": [{"document": str(key.document), "version": 3, "role": "content"}],
        "detail": {"version": 2},
    }
    assert set(parse_canonical_json(NewEvent("x").body()).values()) == {"x", None}


def test_time_in_the_log_never_goes_back(world: World) -> None:
    log(world, NewEvent("a"), at=NOW)
    within = log(world, NewEvent("b"), at=NOW - CLOCK_TOLERANCE_SECONDS)
    assert within.time == NOW
    with world.moment() as moment:
        assert find_newest_time(moment.connection) == NOW


def test_a_clock_behind_the_log_logs_nothing(world: World) -> None:
    log(world, NewEvent("a"), at=NOW)
    with unchanged(world.engine), pytest.raises(ClockBehindError):
        log(world, NewEvent("b"), at=NOW - CLOCK_TOLERANCE_SECONDS - 1)


def test_an_event_is_found_by_its_index(world: World) -> None:
    logged = [log(world, NewEvent(kind)) for kind in "abc"]
    with world.moment() as moment:
        assert [find_event(moment.connection, event.index) for event in logged] == logged


def test_a_page_holds_the_events_of_one_record_in_order_and_says_where_the_next_begins(world: World) -> None:
    for number in range(5):
        log(world, NewEvent("a", record=RECORD, detail={"number": number}))
        log(world, NewEvent("b", record=OTHER))
        log(world, NewEvent("c"))
    with world.moment() as moment:
        first = load_page(moment.connection, RECORD, after=-1, limit=2)
        second = load_page(moment.connection, RECORD, after=int(first.next or "0"), limit=2)
        third = load_page(moment.connection, RECORD, after=int(second.next or "0"), limit=2)
    assert [event.index for page in (first, second, third) for event in page.events] == [0, 3, 6, 9, 12]
    assert third.next is None


def test_an_empty_log_has_no_events_and_time_zero(world: World) -> None:
    with world.moment() as moment:
        assert count_events(moment.connection) == 0
        assert find_newest_time(moment.connection) == 0
        assert load_page(moment.connection, RECORD, after=-1).events == ()
