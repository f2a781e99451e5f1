"""The chapters of endings: a grant revoked and completed, a stolen laptop shut out."""

import shutil

from carnet.access import open_access, release
from carnet.capsules import open_inner
from carnet.demo.attempts import OPENED, REFUSED, ask_all, fetch, look_in
from carnet.demo.attempts import release as release_attempts
from carnet.demo.stage import ALICE, BOB, THIEF, Stage
from carnet.demo.step import Chapter, Step
from carnet.documents.listing import list_documents
from carnet.documents.verification import verify_record
from carnet.documents.versions import recipient_key
from carnet.errors import DecryptionError
from carnet.grant_book import load_grants
from carnet.recovery import restore
from carnet.revocation import complete_revocation, remove_lost_device, revoke
from carnet.session import open_session
from carnet_protocol.api import ReleaseKind
from carnet_protocol.tuples import IdentityTuple

NEW_LAPTOP = "Alice's new laptop"


def revoke_grants(stage: Stage) -> str:
    """Both of Bob's grants end; each server says at which place of its log it stopped."""
    session = stage.sessions[ALICE]
    book = load_grants(session, open_access(session, session.record))
    reports = [revoke(session, book, stage.grants[name]) for name in (BOB, "study")]
    return "revoked" if all(report.is_everywhere for report in reports) else "half revoked"


def ask_again(stage: Stage) -> str:
    """Bob has kept every key that was ever sealed to him, and every locked key, and asks once more."""
    bob, record = stage.sessions[BOB], stage.sessions[ALICE].record
    grant, kept = stage.grants[BOB].hash, stage.kept[BOB]
    return ask_all(
        [
            *look_in(bob, record, grant),
            *fetch(bob, record, stage.papers["letter"].id, grant),
            *release_attempts(bob, record, kept.locked, grant),
        ]
    )


def complete(stage: Stage) -> str:
    """New keys, every lock remade, old epochs closed, the old record lock retired."""
    session = stage.sessions[ALICE]
    report = complete_revocation(session, stage.grants[BOB])
    return "completed" if report.remade and report.closed and not report.skipped else "not completed"


def try_kept_keys(stage: Stage) -> str:
    """As if Bob had a copy of the vault, and the key service took the outer locks off for him: his keys fit none.

    That Alice's own keys fit every one of them shows that the attempt is made rightly.
    """
    alice = stage.sessions[ALICE]
    access = open_access(alice, alice.record)
    locked = stage.locked_keys()
    kept = [key for one in stage.kept[BOB].access.compartments.values() for key in one.keys.values()]
    for item, inner in zip(locked, release(alice, access, ReleaseKind.OPEN, locked), strict=True):
        if inner is None:
            return "nothing to try"
        capsule = item.capsule
        version = IdentityTuple(item.suite, alice.record, capsule.document, capsule.version, item.author)
        wrap = capsule.wrap_tuple(version)
        open_inner(inner, wrap, private_key=recipient_key(access, wrap))
        for key in kept:
            try:
                open_inner(inner, wrap, private_key=key)
            except DecryptionError:
                continue
            return OPENED
    return "no key fits"


def steal_laptop(stage: Stage) -> str:
    """The thief copies the laptop's folder and knows the passphrase: for now, the thief is Alice."""
    shutil.copytree(stage.home(ALICE).path, stage.home(THIEF).path, symlinks=True)
    thief = stage.enter(THIEF, open_session(stage.home(THIEF), passphrase=stage.passphrase))
    documents = list_documents(thief, open_access(thief, thief.record)).documents
    return OPENED if len(documents) == len(stage.papers) else "other documents"


def remove_laptop(stage: Stage) -> str:
    """Alice begins anew from her words, shuts the laptop out, and all her keys are renewed."""
    stolen = stage.sessions[ALICE]
    if stage.words is None:
        raise AssertionError("internal: the recovery kit of the story was not printed")
    session = restore(
        stage.home(NEW_LAPTOP),
        stage.deployment.card,
        stage.words,
        passphrase=stage.passphrase,
        device_name="nouvel ordinateur",
    )
    stage.enter(NEW_LAPTOP, session)
    report, _ = remove_lost_device(session, stolen.device, stage.words, since=session.clock())
    return "removed" if report is not None and not report.skipped else "not removed"


def ask_as_thief(stage: Stage) -> str:
    """The laptop's signature counts for nothing any more, at either server."""
    thief = stage.sessions[THIEF]
    attempts = [*look_in(thief, thief.record, None), *fetch(thief, thief.record, stage.papers["letter"].id, None)]
    return ask_all(attempts)


def verify_all(stage: Stage) -> str:
    """On the new laptop everything is there, and every byte of it proves itself."""
    session = stage.sessions[NEW_LAPTOP]
    report = verify_record(session, open_access(session, session.record))
    return "verified" if report.versions == len(stage.papers) and not report.problems else "not verified"


REVOCATION = Chapter(
    "Shut out",
    "Alice revokes, and both servers stop at once. Completing it gives the record new keys, so that nothing which the "
    "doctor may have kept fits any more.",
    (
        Step(ALICE, "revokes both grants", "revoked", revoke_grants),
        Step(BOB, "asks again with all he kept", REFUSED, ask_again),
        Step(ALICE, "completes it: every lock remade", "completed", complete),
        Step(BOB, "tries his keys on the vault's copy", "no key fits", try_kept_keys),
    ),
)
THEFT = Chapter(
    "A stolen laptop",
    "A thief has a copy of Alice's laptop and her passphrase. With the words of her recovery kit, which the thief has "
    "not, she begins anew and shuts the laptop out.",
    (
        Step(THIEF, "opens a copy of Alice's laptop", OPENED, steal_laptop),
        Step(ALICE, "begins anew, removes the laptop", "removed", remove_laptop),
        Step(THIEF, "asks both servers", REFUSED, ask_as_thief),
        Step(ALICE, "verifies every byte, new laptop", "verified", verify_all),
    ),
)
