"""P02: the key service never holds a document's ciphertext, and opens none of the patient keys that it keeps."""

from pathlib import Path

import pytest

from carnet.samples import make_canary
from carnet.transport import ServerName
from tests.support import proofs
from tests.support.attacker import Attacker
from tests.support.inventory import load_inventory
from tests.support.sealed import Sealed
from tests.support.story_keys import Keys
from tests.support.surfaces import finder, scratch, spellings, surface
from tests.support.whole_story import PLACES, WholeStory

KINDS = ("database", "log", "traffic")
_RUN = 32
"""Random bytes that occur twice by no accident."""


@pytest.mark.parametrize("name", proofs.scenarios("P02", "control: the key service holds whole compartment keys"))
def test_p02_is_proven_from_the_inventory(name: str) -> None:
    proofs.check(name)


def test_the_inventory_shows_the_key_service_no_ciphertext() -> None:
    for entry in load_inventory().entries:
        if "keyservice" in entry.seen_by:
            assert not {"content", "metadata"} & set(entry.seals), entry


@pytest.mark.parametrize("kind", KINDS)
def test_no_canary_reaches_the_key_service(whole: WholeStory, tmp_path: Path, kind: str) -> None:
    planted = make_canary()
    assert all(finder(planted)(scratch(tmp_path, kind, spelled)) for spelled in spellings(planted).values())
    data = surface(whole, ServerName.KEYSERVICE, kind)
    assert len(data) > 1_000
    for place in PLACES:
        assert finder(whole.canaries[place])(data) == [], (kind, place)


@pytest.mark.parametrize("kind", KINDS)
def test_no_ciphertext_reaches_the_key_service(whole: WholeStory, sealed: dict[str, list[Sealed]], kind: str) -> None:
    data, vault = (surface(whole, server, kind) for server in (ServerName.KEYSERVICE, ServerName.VAULT))
    for one in [*sealed["content"], *sealed["metadata"]]:
        for start in (0, len(one.raw) // 2, len(one.raw) - _RUN):
            run = one.raw[start : start + _RUN]
            assert finder(run)(data) == [], one.place
    if kind != "log":
        assert all(finder(one.raw[:_RUN])(vault) for one in sealed["metadata"]), "the search finds what is there"


@pytest.mark.parametrize("kind", KINDS)
def test_no_key_lies_open_at_the_key_service(whole: WholeStory, keys: Keys, kind: str) -> None:
    data = surface(whole, ServerName.KEYSERVICE, kind)
    assert not {of for key, of in keys.items() if finder(key)(data)}


def test_a_thief_of_the_key_service_takes_off_outer_locks_and_nothing_more(whole: WholeStory) -> None:
    """Attack 21, with the master key: what it was sent to be released stays under the patients' locks."""
    thief = Attacker()
    thief.take_keyservice(whole.root)
    thief.take_traffic([exchange for exchange in whole.exchanges if exchange.server is ServerName.KEYSERVICE])
    thief.take_bytes("log", whole.logs()["key service"])
    thief.take_key("master key", whole.world.master_key)
    thief.work()
    assert thief.seals_opened() == {"master-key-check", "record-lock", "outer-lock", "personal-outer-lock"}
    assert {"inner-lock", "personal-inner-lock", "sealed-compartment-key"} <= {one.seal for one in thief.sealed}
