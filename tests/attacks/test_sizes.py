"""Attack 23 over real HTTP: what sizes tell of a document, at rest and on the way."""

import json
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from typing_extensions import override

from carnet.access import RecordAccess
from carnet.documents.deposit import NewVersion, deposit_small
from carnet.documents.metadata import DocumentKind
from carnet.documents.reading import open_document
from carnet.session import Session
from carnet.transport import ServerName
from carnet_protocol.ids import DocumentId
from tests.support.live import LiveWorld
from tests.support.story import Story
from tests.support.traffic import Exchange, payload_of, record, statements_in

FLOOR, METADATA_FLOOR, CHUNK = 16_384, 1_024, 16_384
EDGES = (1, FLOOR - 1, FLOOR, FLOOR + 1, 17_408, 17_409, 65_535, 65_536, 65_537, 300_000)
WORDS = st.text("abcdefghijklmnopqrstuvwxyzéあ", min_size=1, max_size=40)
KINDS = st.builds(DocumentKind, code=st.sampled_from(["34108-1", "11502-2", "18748-4", "57833-6"]), display=WORDS)
MEDIA_TYPES = st.sampled_from(["text/plain", "application/pdf", "application/fhir+json", "image/png"])
ID = re.compile(r"[A-Za-z0-9_-]{43}")


class Live:
    """The story on two live servers, and everything that goes by; a failing example does not print all of it."""

    def __init__(self, story: Story, exchanges: list[Exchange]) -> None:
        self.story, self.exchanges = story, exchanges
        self.access = story.access(story.alice)
        self.general = story.compartment("general")

    @override
    def __repr__(self) -> str:
        return "Live()"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The story on two live servers, and everything that goes by."""
    folder = tmp_path_factory.mktemp("sizes")
    with LiveWorld.running(folder) as world:
        exchanges = record(world)
        world.start()
        yield Live(Story.make(world, folder), exchanges)
        world.stop()


def _padded(length: int, floor: int) -> int:
    """`P(L)`, as protocol/spec/document.md has it."""
    if length <= floor:
        return floor
    exponent = length.bit_length() - 1
    kept_bits = exponent.bit_length()
    mask = 2 ** (exponent - kept_bits) - 1
    return (length + mask) // (mask + 1) * (mask + 1)


def _ciphertext_size(padded: int) -> int:
    return 56 + padded + 16 * (padded // CHUNK + 1)


@st.composite
def _alike(draw: st.DrawFn) -> tuple[int, int]:
    """Two sizes of documents that are padded to one."""
    first = draw(st.sampled_from(EDGES) | st.integers(1, 400_000))
    return first, draw(st.integers(first, _padded(first, FLOOR)))


@settings(max_examples=25)
@given(sizes=_alike(), texts=st.tuples(*[st.tuples(WORDS, KINDS, MEDIA_TYPES, WORDS)] * 2))
def test_stored_and_sent_sizes_tell_no_more_than_the_padding(
    live: Live,
    sizes: tuple[int, int],
    texts: tuple[tuple[str, DocumentKind, str, str], ...],
) -> None:
    """Two documents of any kind whose sizes are padded to one look alike: in rows, objects, requests and answers."""
    story, exchanges = live.story, live.exchanges
    stored, sent = [], []
    for size, (title, kind, media_type, comment) in zip(sizes, texts, strict=True):
        new = NewVersion(
            source=story.folder / "source",
            compartment=live.general,
            title=title,
            kind=kind,
            media_type=media_type,
            author_name="Test",
            comment=comment,
        )
        new.source.write_bytes(secrets.token_bytes(size))
        begun = len(exchanges)
        document = _deposit_and_read(story.alice, live.access, new)
        sent.append(_weigh_all(exchanges[begun:]))
        stored.append(_stored(story, document))
    assert sent[0] == sent[1]
    assert stored[0] == stored[1]
    assert stored[0]["object"] == _ciphertext_size(_padded(sizes[0], FLOOR))
    assert stored[0]["versions.metadata"] == _ciphertext_size(METADATA_FLOOR)


def test_another_padded_size_is_seen(live: Live) -> None:
    """What is compared above does see a difference: one byte more than the padding holds."""
    story, exchanges = live.story, live.exchanges
    weights = []
    for size in (FLOOR, FLOOR + 1):
        source = story.folder / "source"
        source.write_bytes(bytes(size))
        new = NewVersion(source, live.general, "a", DocumentKind(code="34108-1", display="b"), "text/plain", "Test")
        begun = len(exchanges)
        document = _deposit_and_read(story.alice, live.access, new)
        weights.append((_weigh_all(exchanges[begun:]), _stored(story, document)))
    assert weights[0][0] != weights[1][0]
    assert weights[1][1]["object"] - weights[0][1]["object"] == _ciphertext_size(17_408) - _ciphertext_size(FLOOR)


def _deposit_and_read(session: Session, access: RecordAccess, new: NewVersion) -> DocumentId:
    (document,) = deposit_small(session, access, [new])
    opened = open_document(session, access, document)
    opened.check()
    assert b"".join(opened.stream()) == new.source.read_bytes()
    return document


def _weigh_all(exchanges: list[Exchange]) -> list[tuple[Any, ...]]:
    """Each exchange weighed, in no order: both servers are asked at the same time."""
    return sorted(_weigh(exchange) for exchange in exchanges)


def _weigh(exchange: Exchange) -> tuple[Any, ...]:
    """What somebody on the way sees of an exchange: where to, and how much."""
    header_sizes = [
        sorted((name, len(value)) for name, value in some.items() if name != "content-length")
        for some in (exchange.request_headers, exchange.answer_headers)
    ]
    path = ID.sub("*", exchange.url.path)
    bodies = [
        _without_index(body) if headers.get("content-type", "").startswith("application/json") else body
        for headers, body in (
            (exchange.request_headers, exchange.request),
            (exchange.answer_headers, exchange.answer),
        )
    ]
    return (
        exchange.server,
        exchange.method,
        path,
        len(exchange.url.query),
        exchange.status,
        *map(len, bodies),
        header_sizes,
    )


def _without_index(body: bytes) -> bytes:
    """`body` with receipts whose index is 0: the index counts the events of the whole server (limits.md)."""
    for statement in statements_in(json.loads(body)):
        payload = payload_of(statement)[1]
        if "index" in payload:
            body = body.replace(statement.encode(), json.dumps(payload | {"index": 0}).encode())
    return body


def _stored(story: Story, document: DocumentId) -> Counter[str]:
    """How long every value is that the vault's rows of `document` have, and the object that they name."""
    sizes: Counter[str] = Counter()
    with story.world.engines[ServerName.VAULT].connect() as connection:
        for table in ("documents", "versions", "capsules"):
            query = text(f"SELECT * FROM {table} WHERE document = :document")  # noqa: S608  one of three names
            for row in connection.execute(query, {"document": document.raw}).mappings():
                for column, value in row.items():
                    sizes[f"{table}.{column}"] += len(value) if isinstance(value, bytes | str) else 1
                    if (table, column) == ("versions", "object"):
                        (path,) = (story.world.root / "vault" / "objects").rglob(value)
                        sizes["object"] = path.stat().st_size
    return sizes
