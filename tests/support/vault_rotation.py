"""The key service's part of a rotation, played against a vault in the process of the test."""

from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel

from carnet_protocol.answers import verify_answer
from carnet_protocol.api import (
    Capsule,
    LocksUpdate,
    OldCapsule,
    OldCapsulesPage,
    OldCapsulesQuery,
    OuterLockSwap,
    RecordSwapped,
    RecordSwaps,
    SwapsAnswer,
    SwapsUpdate,
)
from carnet_protocol.ids import Sha256Digest
from carnet_protocol.requests import KeyId, parse_request, sign_request
from carnet_protocol.sealed_box import BoxKind, inner_size
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Lock, Signed
from carnet_protocol.suites import WRITE_SUITE, Suite
from tests.support.hpke import seal
from tests.support.vault import VaultStory

Answer = TypeVar("Answer", bound=BaseModel)
PATHS = ("locks", "capsules", "swaps", "counts")


def send_as(story: VaultStory, signer: Signer, path: str, body: BaseModel | bytes) -> httpx2.Response:
    """A request to `/v1/rotation/{path}`, signed by a key that is named by its fingerprint."""
    content = body if isinstance(body, bytes) else body.model_dump_json().encode()
    headers = sign_request(
        method="POST",
        target=f"{story.world.own.vault.origin}/v1/rotation/{path}",
        body=content,
        server=story.world.own.vault.fingerprint,
        key_id=KeyId(signer.public_key.fingerprint().raw),
        created=story.world.clock(),
        sign=signer.sign,
    )
    return story.world.client.post(
        f"/v1/rotation/{path}", content=content, headers={"content-type": "application/json", **headers}
    )


def send(story: VaultStory, path: str, body: BaseModel | bytes) -> httpx2.Response:
    """A request by the key service."""
    return send_as(story, story.world.own.keyservice.key, path, body)


def ask(story: VaultStory, path: str, body: BaseModel, answer: type[Answer]) -> Answer:
    """What the vault answers to the key service, its signature checked."""
    answered = send(story, path, body)
    assert answered.status_code == 200, answered.text
    request = answered.request
    headers = [(name.lower(), value) for name, value in request.headers.raw]
    verify_answer(
        parse_request(method="POST", target=str(request.url), headers=headers),
        status=200,
        headers=answered.headers.raw,
        body=answered.content,
        public_key=story.world.own.vault.key.public_key,
        now=story.world.clock(),
    )
    return answer.model_validate_json(answered.content)


def show(story: VaultStory, *locks: Signed[Lock]) -> Any:
    """Show the vault lock statements, as the key service."""
    return send(story, "locks", LocksUpdate(locks=tuple(lock.text for lock in locks)))


def old_capsules(story: VaultStory, *, limit: int = 500) -> list[OldCapsule]:
    """Every capsule of the record under an older lock, asked for in pages of `limit`."""
    found: list[OldCapsule] = []
    after = None
    while True:
        query = OldCapsulesQuery(records=(story.record,), after=after, limit=limit)
        page = ask(story, "capsules", query, OldCapsulesPage)
        assert len(page.capsules) <= limit
        found += page.capsules
        after = page.next
        if after is None:
            return found


def remake(capsule: Capsule, lock: Signed[Lock], *, suite: Suite = WRITE_SUITE) -> OuterLockSwap:
    """A swap that puts something under `lock` where `capsule` stands: the vault cannot tell what is inside."""
    kind = BoxKind.OUTER_LOCK if capsule.personal is None else BoxKind.PERSONAL_OUTER_LOCK
    return swap_of(capsule, seal(lock.body.lock_key, b"", bytes(inner_size(suite)), kind=kind))


def swap_of(capsule: Capsule, sealed: bytes) -> OuterLockSwap:
    """The swap that puts `sealed` in the place of `capsule`."""
    return OuterLockSwap(
        document=capsule.document,
        version=capsule.version,
        role=capsule.role,
        grant=None if capsule.personal is None else capsule.personal.grant,
        replaces=Sha256Digest.of(capsule.sealed),
        inner_suite=capsule.inner_suite,
        outer_suite=capsule.outer_suite,
        sealed=sealed,
    )


def swaps_of(story: VaultStory, lock: Signed[Lock], *swaps: OuterLockSwap) -> SwapsUpdate:
    """Swaps in the story's record."""
    return SwapsUpdate(records=(RecordSwaps(record=story.record, lock_statement=lock.hash, swaps=swaps),))


def bring_swaps(story: VaultStory, lock: Signed[Lock], *swaps: OuterLockSwap) -> RecordSwapped:
    """What became of `swaps`."""
    (answer,) = ask(story, "swaps", swaps_of(story, lock, *swaps), SwapsAnswer).records
    return answer
