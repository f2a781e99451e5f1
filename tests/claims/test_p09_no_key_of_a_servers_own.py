"""P09, as far as it needs no log: no server puts a key of its own in the place of anyone's.

Look-ups, planted compartment keys, forged epochs and invented patients are attacks 1 to 6 in
`tests/attacks/test_whose_key.py`; here are a record lock of a stranger's, and what a client that saw nothing before can
be told. That a server does not *withhold* a renewal from who never saw it needs the log of a later issue.
"""

from typing import Any

import pytest

from carnet.access import open_access
from carnet.errors import CarnetError, DataError
from carnet.sealing import KemPrivateKey
from carnet_protocol.ids import IdentityHash
from carnet_protocol.statements import Identity, Lock, Signed
from carnet_protocol.suites import WRITE_SUITE
from tests.support import proofs
from tests.support.client import put_document
from tests.support.story import Story, lying


@pytest.mark.parametrize("name", proofs.scenarios("control: unsigned directory", "control: the servers look patients"))
def test_the_model_of_secrecy_leaks_without_it(name: str) -> None:
    proofs.check(name)


@pytest.mark.parametrize("signer", ["vault", "device", "log"])
def test_a_record_lock_that_the_key_service_did_not_sign_is_refused(story: Story, signer: str) -> None:
    """Nobody but the pinned key service says what outer locks are sealed to: not the vault, not a device, not a log."""
    own = story.world.own
    key = {
        "vault": own.vault.key,
        "device": story.mallory.keyring.body.device_signer,
        "log": own.keyservice.log_key,
    }[signer]
    lock = story.access(story.alice).lock
    assert lock is not None
    forged = Signed.sign(lock.body.model_copy(update={"lock_key": KemPrivateKey.make(WRITE_SUITE).public_key}), key)

    def plant(view: dict[str, Any]) -> dict[str, Any]:
        return view | {"lock": forged.text}

    with story.unchanged(), lying(story.world.keyservice, "/access", plant):
        for session in (story.alice, story.bob, story.lab):
            with pytest.raises(DataError):
                story.access(session)


def test_a_record_lock_of_another_record_is_refused(own_story: Story) -> None:
    story = own_story
    lock = story.access(story.alice).lock
    assert lock is not None
    other = Signed.sign(
        Lock(**{**lock.body.model_dump(), "record": type(lock.body.record)(story.mallory.identity.raw)}),
        story.world.own.keyservice.key,
    )

    def plant(view: dict[str, Any]) -> dict[str, Any]:
        return view | {"lock": other.text}

    with story.unchanged(), lying(story.world.keyservice, "/access", plant), pytest.raises(DataError):
        put_document(story.alice, story.access(story.alice), story.folder, "new", compartment="general")


@pytest.mark.parametrize("who", ["patient", "clinician", "laboratory"])
def test_both_servers_together_cannot_replace_a_patients_key(story: Story, who: str) -> None:
    """An identity statement with the servers' own KEM key, signed by whatever key they have: nobody uses it."""
    session = {"patient": story.alice, "clinician": story.bob, "laboratory": story.lab}[who]
    alice = story.access(story.alice).patient
    for key in (story.world.own.vault.key, story.world.own.keyservice.key):
        forged = Signed.sign(
            Identity(
                **{
                    **alice.current.body.model_dump(),
                    "serial": alice.current.body.serial + 1,
                    "founding": IdentityHash(alice.identity.raw),
                    "previous": alice.current.hash,
                    "account_kem_key": KemPrivateKey.make(WRITE_SUITE).public_key,
                }
            ),
            key,
        )

        def plant(view: dict[str, Any], text: str = forged.text) -> dict[str, Any]:
            view["patient"]["identities"].append(text)
            return view

        with story.unchanged(), lying(story.world.vault, "/access", plant):
            with lying(story.world.keyservice, "/access", plant), pytest.raises(CarnetError):
                story.access(session)


def test_a_client_that_saw_nothing_before_is_told_no_other_patient(own_story: Story) -> None:
    """A second device without memory: the record is the hash of the patient's founding statement."""
    story = own_story
    fresh = story.world.reopen("lab")

    def rename(view: dict[str, Any]) -> dict[str, Any]:
        mallory = story.mallory.keyring.body.person
        return view | {"patient": {**view["patient"], "identities": list(mallory.identities)}}

    with lying(story.world.vault, "/access", rename), lying(story.world.keyservice, "/access", rename):
        with pytest.raises(CarnetError):
            open_access(fresh, story.alice.record, story.deposit_grant.hash)
