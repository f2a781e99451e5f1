"""Attacks 7 to 12: everything that a lying vault or store can change, swap, cut, inject or roll back (P08)."""

import base64
import copy
import itertools
import random
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from carnet.documents.deposit import NewVersion, deposit_small
from carnet.documents.listing import list_documents, list_versions
from carnet.documents.metadata import DocumentKind
from carnet.documents.reading import open_document
from carnet.errors import CarnetError, DataError
from carnet.session import Session
from carnet_protocol.ids import DocumentId
from carnet_protocol.statements import Manifest, Signed
from tests.support.story import Story, lying, with_body

Path = tuple[str | int, ...]
_ROUNDS = 160


def _leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, (*path, name))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _leaves(item, (*path, place))
    else:
        yield path


def _get(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _put(value: Any, path: Path, leaf: Any) -> Any:
    changed = copy.deepcopy(value)
    target = _get(changed, path[:-1])
    target[path[-1]] = leaf
    return changed


def _flip(text: str, position: int) -> str:
    return text[:position] + ("A" if text[position] != "A" else "B") + text[position + 1 :]


def _damages(answer: Any, seed: str, *, ignored: frozenset[str] = frozenset()) -> list[tuple[Path, Any]]:
    """Each leaf: removed, emptied, cut, flipped at a few places, swapped with every other leaf of its name."""
    dice = random.Random(seed)
    paths = [path for path in _leaves(answer) if path[-1] not in ignored]
    damages: list[tuple[Path, Any]] = []
    for path in paths:
        leaf = _get(answer, path)
        if isinstance(leaf, str) and leaf:
            places = {0, len(leaf) - 1, *(dice.randrange(len(leaf)) for _ in range(4))}
            damages += [(path, _flip(leaf, place)) for place in sorted(places)]
            damages += [(path, ""), (path, leaf[:-1]), (path, leaf + "A"), (path, None)]
        elif isinstance(leaf, int):
            damages += [(path, leaf + 1), (path, -1), (path, 0), (path, str(leaf))]
        damages += [
            (path, _get(answer, other))
            for other in paths
            if other[-1] == path[-1] and other != path and _get(answer, other) != leaf
        ]
    dice.shuffle(damages)
    return damages[:_ROUNDS]


def _titles(session: Session, story: Story) -> set[tuple[str, str]]:
    listing = list_documents(session, story.access(session))
    return {(str(document.id), document.metadata.title) for document in listing.documents}


@pytest.fixture(scope="module")
def shown(story: Story) -> set[tuple[str, str]]:
    return _titles(story.bob, story)


@pytest.fixture(scope="module")
def page(story: Story) -> Any:
    pages: list[Any] = []

    def keep(answer: Any) -> Any:
        pages.append(copy.deepcopy(answer))
        return answer

    with lying(story.world.vault, "/documents", keep):
        _titles(story.bob, story)
    return pages[0]


def test_no_damage_to_a_page_shows_anything_that_was_not_so(
    story: Story, page: Any, shown: set[tuple[str, str]]
) -> None:
    assert len(shown) == 2
    for path, leaf in _damages(page, "page"):
        damaged = _put(page, path, leaf)
        with lying(story.world.vault, "/documents", lambda _, damaged=damaged: damaged):
            try:
                seen = _titles(story.bob, story)
            except CarnetError:
                continue
        assert seen <= shown, path
        if path[-1] != "next":
            assert seen < shown, path


def _opened(story: Story, document: DocumentId) -> tuple[bytes, str]:
    opened = open_document(story.bob, story.access(story.bob), document)
    content = b"".join(opened.stream())
    opened.check()
    return content, opened.metadata.title


def _version_answer(story: Story, document: DocumentId) -> Any:
    kept: list[Any] = []

    def keep(answer: Any) -> Any:
        kept.append(copy.deepcopy(answer))
        return answer

    with lying(story.world.vault, "/newest", keep):
        _opened(story, document)
    return kept[0]


def test_no_damage_to_a_version_opens_anything_else(story: Story) -> None:
    answer = _version_answer(story, story.letter)
    right = _opened(story, story.letter)
    assert right == (b"letter content", "letter")
    for path, leaf in _damages(answer, "version", ignored=frozenset({"url", "url_expires"})):
        damaged = _put(answer, path, leaf)
        with lying(story.world.vault, "/newest", lambda _, damaged=damaged: damaged):
            try:
                opened = _opened(story, story.letter)
            except CarnetError:
                continue
        pytest.fail(f"{path} -> {leaf!r} opened {opened}")


def test_a_whole_other_version_is_not_the_one_asked_for(story: Story) -> None:
    other = _version_answer(story, story.result)
    with lying(story.world.vault, "/newest", lambda _: other), pytest.raises(DataError):
        _opened(story, story.letter)


@pytest.mark.parametrize("member", ["entry", "content_capsule", "leaf_digests", "url"])
def test_a_part_of_another_version_in_the_place_of_the_right_one(story: Story, member: str) -> None:
    right, other = _version_answer(story, story.letter), _version_answer(story, story.result)
    mixed = right | {member: other[member]}
    with lying(story.world.vault, "/newest", lambda _: mixed), pytest.raises(DataError):
        _opened(story, story.letter)


def _change_object(story: Story, change: Any) -> Any:
    def after(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if "/v1/objects/" not in request.url.path:
            return response
        return with_body(response, change(response.read()))

    return after


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body[:-1],
        lambda body: body[:-16],
        lambda body: body + b"\0",
        lambda body: bytes(len(body)),
        lambda body: body[:100] + bytes([body[100] ^ 1]) + body[101:],
        lambda body: body[:24] + bytes(32) + body[56:],
        lambda body: body[16:] + body[:16],
        lambda _body: b"",
    ],
    ids=["cut", "last-chunk", "extended", "zeros", "flipped", "commitment", "rotated", "empty"],
)
def test_no_damage_to_an_object_is_opened_or_reaches_its_final_place(story: Story, change: Any) -> None:
    opened = open_document(story.bob, story.access(story.bob), story.letter)
    target = story.folder / "out.txt"
    target.write_bytes(b"before")
    story.world.vault.after = _change_object(story, change)
    try:
        with pytest.raises(CarnetError):
            opened.save(target)
        with pytest.raises(CarnetError):
            opened.read_range(offset=0, length=5)
    finally:
        story.world.vault.after = None
    assert target.read_bytes() == b"before"
    assert [path.name for path in story.folder.iterdir() if path.name.startswith((".out", "out"))] == ["out.txt"]


def test_a_document_of_an_attested_stranger_without_a_grant_is_not_shown(story: Story, page: Any) -> None:
    """Injection by a practitioner and a lying vault: a well-formed manifest of Mallory's in the place of one."""
    entry = page["documents"][0]
    body = Signed.parse(entry["manifest"], Manifest).body
    for grant in (str(story.deposit_grant.hash), str(story.read_grant.hash)):
        forged = Signed.sign(
            body.model_copy(
                update={
                    "author": story.mallory.identity,
                    "device": story.mallory.device,
                    "grant": type(story.deposit_grant.hash).parse(grant),
                }
            ),
            story.mallory.keyring.body.device_signer,
        )
        damaged = copy.deepcopy(page)
        damaged["documents"][0]["manifest"] = forged.text
        damaged["deposit_grants"] = [story.deposit_grant.text, story.read_grant.text]
        with lying(story.world.vault, "/documents", lambda _, damaged=damaged: damaged):
            listing = list_documents(story.bob, story.access(story.bob))
        assert len(listing.documents) == 1
        assert len(listing.problems) == 1


@pytest.mark.parametrize("moved", [-1, 86_400, 366 * 86_400])
def test_a_deposit_dated_outside_its_grant_is_not_shown(story: Story, page: Any, moved: int) -> None:
    place = next(
        number
        for number, entry in enumerate(page["documents"])
        if Signed.parse(entry["manifest"], Manifest).body.author == story.lab.identity
    )
    body = Signed.parse(page["documents"][place]["manifest"], Manifest).body
    late = body.model_copy(update={"created_at": story.deposit_grant.body.not_before + moved})
    damaged = copy.deepcopy(page)
    damaged["documents"][place]["manifest"] = Signed.sign(late, story.lab.keyring.body.device_signer).text
    with lying(story.world.vault, "/documents", lambda _: damaged):
        listing = list_documents(story.bob, story.access(story.bob))
    assert [problem.reason for problem in listing.problems] == [
        "a document was deposited before or after its author might"
    ]


def test_the_chain_of_versions_is_checked(own_story: Story) -> None:
    story = own_story
    access = story.access(story.alice)
    first = list_versions(story.alice, access, story.letter).documents[-1]
    source = story.folder / "corrected.txt"
    source.write_bytes(b"corrected")
    new = NewVersion(
        source=source,
        compartment=story.compartment("general"),
        title="letter, corrected",
        kind=DocumentKind(code="34108-1", display="Outpatient Note"),
        media_type="text/plain",
        author_name="Alice",
        previous=first.version.manifest,
    )
    assert deposit_small(story.alice, access, [new]) == [story.letter]
    versions = list_versions(story.bob, story.access(story.bob), story.letter).documents
    assert [version.metadata.title for version in versions] == ["letter", "letter, corrected"]

    def drop(answer: Any) -> Any:
        return answer | {"versions": answer["versions"][1:]}

    def double(answer: Any) -> Any:
        return answer | {"versions": [answer["versions"][0], *answer["versions"]]}

    for change in (drop, double):
        with lying(story.world.vault, f"/{story.letter}", change), pytest.raises(DataError):
            list_versions(story.bob, story.access(story.bob), story.letter)


def test_nothing_is_read_or_written_below_the_floor(story: Story) -> None:
    """A capsule, manifest or box of another suite is refused whatever a server says (attack 12)."""
    answer = _version_answer(story, story.letter)
    for suite in (0, 2, 999):
        for path in itertools.product(("content_capsule", "entry/metadata_capsule"), ("inner_suite", "outer_suite")):
            damaged = _put(answer, tuple("/".join(path).split("/")), suite)
            with lying(story.world.vault, "/newest", lambda _, damaged=damaged: damaged):
                with pytest.raises(CarnetError):
                    _opened(story, story.letter)
    sealed = bytearray(base64.urlsafe_b64decode(answer["content_capsule"]["sealed"] + "==="))
    for place in (4, 5, 6, 7):
        changed = bytes(sealed[:place]) + bytes([sealed[place] ^ 3]) + bytes(sealed[place + 1 :])
        text = base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
        damaged = _put(answer, ("content_capsule", "sealed"), text)
        with lying(story.world.vault, "/newest", lambda _, damaged=damaged: damaged):
            with pytest.raises(CarnetError):
                _opened(story, story.letter)
