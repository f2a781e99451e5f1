"""What happened, in a patient's words: every kind has some, what both servers say is said once, nothing is left out."""

from dataclasses import replace

from carnet.cli.happenings import BOTH, WORDS, Known, tell
from carnet.events import EventBody, SeenEvent
from carnet.transport import ServerName
from carnet_protocol.ids import DocumentId, IdentityHash, StatementHash
from carnet_protocol.statements import KINDS

ALICE, BOB = str(IdentityHash(bytes(32))), str(IdentityHash(bytes([1]) * 32))
NOON = 1_800_000_000 - 1_800_000_000 % 60
KNOWN = Known(name_of={ALICE: "you", BOB: "Dr Bob"}.__getitem__)
NOT_OF_A_RECORD = {"destruction", "rotation-report", "service-card", "receipt"}


def event(
    kind: str, *, server: ServerName = ServerName.VAULT, index: int = 0, time: int = NOON, **body: object
) -> SeenEvent:
    empty = dict.fromkeys(("record", "by", "device", "grant", "statement", "documents", "detail"))
    return SeenEvent(server, index, time, EventBody.model_validate({**empty, "by": ALICE, **body, "kind": kind}))


def statement(number: int) -> str:
    return str(StatementHash(bytes([number]) * 32))


def test_every_kind_of_statement_has_words() -> None:
    assert {f"statement.{kind.KIND}" for kind in KINDS.values()} - set(WORDS) == {
        f"statement.{kind}" for kind in NOT_OF_A_RECORD
    }
    for kind in WORDS:
        (line,) = tell([event(kind, statement=statement(1))], KNOWN)
        assert line.text
        assert kind not in line.text


def test_kind_without_words_is_named_rather_than_left_out() -> None:
    (line,) = tell([event("release.everything")], KNOWN)
    assert line.text == "release.everything"


def test_statement_that_both_servers_wrote_down_is_one_line() -> None:
    one = event("statement.filing", statement=statement(1))
    other = event("statement.filing", statement=statement(1), server=ServerName.KEYSERVICE, time=NOON + 90, index=7)
    (line,) = tell([other, one], KNOWN)
    assert (line.where, line.who, line.time, line.text) == (BOTH, "you", NOON, "moved a document")


def test_statement_that_one_server_lacks_shows_where_it_is() -> None:
    (line,) = tell([event("statement.revocation", statement=statement(1), grant=statement(2))], KNOWN)
    assert line.where == ServerName.VAULT


def test_same_statement_twice_at_one_server_is_said_twice() -> None:
    twice = [event("statement.filing", statement=statement(1), index=index) for index in (0, 1)]
    (line,) = tell(twice, KNOWN)
    assert (line.where, line.text) == (ServerName.VAULT, "moved a document (2 times)")


def test_the_same_within_a_minute_is_counted_and_later_said_again() -> None:
    times = (NOON, NOON + 1, NOON + 59, NOON + 60)
    lines = tell([event("release.open", index=index, time=time) for index, time in enumerate(times)], KNOWN)
    assert [line.text for line in lines] == ["opened (3 times)", "opened"]


def test_what_somebody_else_did_is_never_counted_with_it() -> None:
    lines = tell([event("release.open"), event("release.open", by=BOB, index=1)], KNOWN)
    assert [line.who for line in lines] == ["you", "Dr Bob"]


def test_a_server_that_acts_by_itself_is_named() -> None:
    (line,) = tell([event("statement.lock", by=None, statement=statement(1))], KNOWN)
    assert line.who == "the vault"


def test_ids_are_said_by_the_names_they_have() -> None:
    names = replace(
        KNOWN,
        grantees={statement(2): "Dr Bob"},
        parts={statement(3): "gave the part imaging new keys"},
        titles={statement(4): "Chest CT"},
    )
    said = [
        event("statement.identity", statement=ALICE),
        event("statement.identity", statement=statement(1)),
        event("statement.grant", statement=statement(2), grant=statement(2)),
        event("statement.revocation", statement=statement(5), grant=statement(2)),
        event("statement.compartment", statement=statement(3)),
        event("statement.manifest", statement=statement(4)),
    ]
    assert [line.text for line in tell(said, names)] == [
        "registered",
        "renewed the keys",
        "let in: Dr Bob",
        "ended the grant to Dr Bob",
        "gave the part imaging new keys",
        "deposited: Chest CT",
    ]


def test_documents_are_named_by_title_or_by_the_beginning_of_their_id() -> None:
    documents = [DocumentId(bytes([number]) * 32) for number in range(5)]
    titles = {str(documents[0]): "Letter", str(documents[1]): "Chest CT"}
    body = [{"document": str(one), "role": role, "version": 1} for one in documents for role in ("metadata", "content")]
    (line,) = tell([event("release.open", documents=body)], replace(KNOWN, titles=titles))
    assert line.text == f"opened: Letter, Chest CT, {str(documents[2])[:8]} and 2 more"
