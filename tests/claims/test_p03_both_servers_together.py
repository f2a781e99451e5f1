"""P03: vault and key service together, with all their state, logs and traffic, open no document."""

import pytest

from tests.support import proofs
from tests.support.attacker import Attacker
from tests.support.whole_story import WholeStory

SERVERS_OWN = {"master-key-check", "record-lock", "outer-lock", "personal-outer-lock"}
"""What the key service's master key opens; under it are the patients' locks."""


@pytest.fixture(scope="module")
def thief(whole: WholeStory) -> Attacker:
    """Attack 21, with everything that both servers have."""
    thief = Attacker()
    thief.take_vault(whole.root)
    thief.take_keyservice(whole.root)
    thief.take_traffic(whole.exchanges)
    for name, log in whole.logs().items():
        thief.take_bytes(f"log of the {name}", log)
    own = whole.world.own
    for where, key in (
        ("master key", whole.world.master_key),
        ("vault's key", own.vault.key.seed()),
        ("vault's log key", own.vault.log_key.seed()),
        ("key service's key", own.keyservice.key.seed()),
        ("key service's log key", own.keyservice.log_key.seed()),
    ):
        thief.take_key(where, key)
    thief.work()
    return thief


@pytest.mark.parametrize(
    "name", proofs.scenarios("P03", "control: unsigned", "control: the servers", "control: the rec")
)
def test_p03_is_proven_from_the_inventory(name: str) -> None:
    proofs.check(name)


def test_both_servers_together_open_no_document(thief: Attacker) -> None:
    assert thief.seals_opened() == SERVERS_OWN
    left = {one.seal for one in thief.sealed}
    assert {"content", "metadata", "inner-lock", "personal-inner-lock", "sealed-compartment-key"} <= left


def test_with_the_patient_they_open_everything(thief: Attacker, whole: WholeStory) -> None:
    """The job is able to: with the patient's newest account key every document of the story comes out."""
    together = thief.joined_by("alice", whole.story.alice.keyring.body.account_key.reveal())
    assert any(text.startswith(whole.canaries["content"]) for text in together.read("content"))
    assert any(whole.canaries["title"] in text for text in together.read("metadata"))
    assert {"content", "metadata"}.isdisjoint(one.seal for one in together.sealed)


@pytest.mark.parametrize("name", proofs.scenarios("control: a granted clinician"))
def test_with_a_granted_clinician_the_model_leaks(name: str) -> None:
    proofs.check(name)


def test_with_a_reader_of_one_document_they_open_that_one(thief: Attacker, whole: WholeStory) -> None:
    together = thief.joined_by("carol", whole.carol.keyring.body.account_key.reveal())
    assert {
        sealed.version.document for sealed, _, _ in together.opened if sealed.seal == "content" and sealed.version
    } == {whole.told}
    assert not [text for text in together.read("content") if b"secret content" in text or b"letter content" in text]
