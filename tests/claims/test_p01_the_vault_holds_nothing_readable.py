"""P01: the vault, its store, database, logs and traffic hold no document, and no key that opens one."""

from pathlib import Path

import pytest

from carnet.documents.listing import list_documents
from carnet.documents.reading import open_document
from carnet.samples import make_canary
from carnet.transport import ServerName
from tests.support import proofs
from tests.support.attacker import Attacker
from tests.support.sealed import Sealed
from tests.support.story_keys import Keys
from tests.support.surfaces import KINDS, finder, scratch, spellings, surface
from tests.support.whole_story import PLACES, WholeStory


@pytest.mark.parametrize("name", proofs.scenarios("P01", "control: metadata under one lock"))
def test_p01_is_proven_from_the_inventory(name: str) -> None:
    proofs.check(name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_canary_is_found_in_every_spelling(kind: str, tmp_path: Path) -> None:
    canary = make_canary()
    for name, spelled in spellings(canary).items():
        assert finder(canary)(scratch(tmp_path, kind, spelled)), (kind, name)


@pytest.mark.parametrize("kind", KINDS)
def test_no_canary_reaches_the_vault(whole: WholeStory, kind: str) -> None:
    data = surface(whole, ServerName.VAULT, kind)
    assert len(data) > 1_000
    for place in PLACES:
        assert finder(whole.canaries[place])(data) == [], (kind, place)


def test_the_canaries_are_in_the_document_that_the_patient_reads(whole: WholeStory) -> None:
    """Otherwise not finding them would say nothing."""
    alice, access = whole.story.alice, whole.story.access(whole.story.alice)
    document = next(one for one in list_documents(alice, access).documents if one.id == whole.told)
    shown = document.metadata
    assert [shown.title, shown.file_name, shown.comment, shown.author_name, shown.kind.display] == [
        whole.canaries[place].decode() for place in ("title", "file name", "comment", "author", "kind")
    ]
    assert b"".join(open_document(alice, access, whole.told).stream()).startswith(whole.canaries["content"])
    assert whole.canaries["compartment"].decode() in {one.name for one in access.compartments.values()}


@pytest.mark.parametrize("kind", KINDS)
def test_no_key_reaches_the_vault(whole: WholeStory, keys: Keys, kind: str) -> None:
    data = surface(whole, ServerName.VAULT, kind)
    found = {of for key, of in keys.items() if finder(key)(data)}
    assert not found
    key = next(iter(keys))
    assert finder(key)(data + key.hex().encode())


def test_a_thief_of_the_vault_opens_nothing(whole: WholeStory, sealed: dict[str, list[Sealed]]) -> None:
    """Attack 21: every string of bytes that could be a key, against everything sealed."""
    thief = Attacker()
    thief.take_vault(whole.root)
    thief.take_traffic([exchange for exchange in whole.exchanges if exchange.server is ServerName.VAULT])
    thief.take_bytes("log", whole.logs()["vault"])
    assert len(thief.keys) > 500
    assert {one.seal for one in thief.sealed} >= {"content", "metadata", "outer-lock", "personal-outer-lock"}
    assert len(sealed["content"]) >= 3
    thief.work()
    assert thief.seals_opened() == set()
