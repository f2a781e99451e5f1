"""Who may sign what: verified views of people and of the directory, from statements alone (spec `statements.md`).

Pure: statements in, verdicts out. Both servers and every client use the same rules; servers pass the times at which
they received statements, clients the times that the statements give.
"""

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from carnet_protocol.errors import SignatureError, StatementError
from carnet_protocol.ids import Ed25519PublicKey, Fingerprint, IdentityHash, StatementHash
from carnet_protocol.limits import CLOCK_SKEW_SECONDS
from carnet_protocol.statements import Attestation, Device, Identity, Removal, RevocationList, Role, Signed


@dataclass(frozen=True, slots=True)
class EnrolledDevice:
    """A verified device; statements it made at or after `void_from` count for nothing.

    `generation` counts the root keys that its person had before the one under which it was enrolled. `removed_at` is
    when the removal that shut it out was issued, or its root key replaced: `void_from` may lie before.
    """

    statement: Signed[Device]
    generation: int
    void_from: int | None
    removed_at: int | None

    def is_void_at(self, time: int) -> bool:
        """Whether what this device made at `time` counts for nothing."""
        return self.void_from is not None and time >= self.void_from

    def shut_out(self, *, since: int, at: int) -> "EnrolledDevice":
        """The same device, void from `since` by a removal issued `at`; what was said before stands if it is earlier."""
        return replace(
            self,
            void_from=since if self.void_from is None else min(self.void_from, since),
            removed_at=at if self.removed_at is None else min(self.removed_at, at),
        )


@dataclass(frozen=True, slots=True)
class Person:
    """A verified person: the chain of identity statements, oldest first, and the devices."""

    identity: IdentityHash
    chain: tuple[Signed[Identity], ...]
    devices: dict[StatementHash, EnrolledDevice]
    removals: tuple[Signed[Removal], ...]

    @property
    def current(self) -> Signed[Identity]:
        """The newest identity statement."""
        return self.chain[-1]

    @property
    def role(self) -> Role:
        """What the identity is for."""
        return self.chain[0].body.role

    @property
    def root_key(self) -> Ed25519PublicKey:
        """The root key now."""
        return self.current.body.root_key

    def statement(self, name: StatementHash) -> Signed[Identity]:
        """The identity statement called `name`. Raises `StatementError` if it is not in the chain."""
        for signed in self.chain:
            if signed.hash == name:
                return signed
        raise StatementError("an identity statement that is not in this person's chain")

    def enrolled_key(self, device: StatementHash) -> Ed25519PublicKey:
        """The key of `device`, shut out or not: for statements that only restrict, or that something else binds.

        Raises `SignatureError` if this person never enrolled it.
        """
        return self._enrolled(device).statement.body.device_key

    def device_key(self, device: StatementHash, *, at: int) -> Ed25519PublicKey:
        """The key of `device`, if what it made at time `at` counts. Raises `SignatureError`."""
        enrolled = self._enrolled(device)
        if enrolled.is_void_at(at):
            raise SignatureError("signed by a device after the time from which its owner shut it out")
        return enrolled.statement.body.device_key

    def unremoved_key(self, device: StatementHash, *, at: int) -> Ed25519PublicKey:
        """The key of `device`, if nobody had removed it yet at time `at`, whatever it was shut out from since.

        For links of a chain that servers took in good faith, and that others build on. Raises `SignatureError`.
        """
        enrolled = self._enrolled(device)
        if enrolled.is_void_at(at) and enrolled.removed_at is not None and at >= enrolled.removed_at:
            raise SignatureError("signed by a device after its owner removed it")
        return enrolled.statement.body.device_key

    def _enrolled(self, device: StatementHash) -> EnrolledDevice:
        enrolled = self.devices.get(device)
        if enrolled is None:
            raise SignatureError("signed by a device that this person never enrolled")
        return enrolled


def verify_identity_chain(identity: IdentityHash, chain: Sequence[Signed[Identity]]) -> tuple[Signed[Identity], ...]:
    """The verified chain of `identity`, oldest first.

    1. It begins with the founding statement, whose hash is `identity`, signed by its own root key.
    2. Each later one names the founding statement and the one before, counts on by one, keeps the role, and is signed
       by the root key before it.
    3. A root key that was replaced does not come back.

    Raises `StatementError` or `SignatureError`.
    """
    if not chain or chain[0].hash.raw != identity.raw or chain[0].body.serial != 0:
        raise StatementError("a person's statements begin with the founding one")
    chain[0].verify(chain[0].body.root_key)
    for before, after in itertools.pairwise(chain):
        if (
            after.body.founding != identity
            or after.body.previous != before.hash
            or after.body.serial != before.body.serial + 1
            or after.body.role != before.body.role
        ):
            raise StatementError("a later identity statement does not chain to the one before")
        after.verify(before.body.root_key)
    generations = [root_key for root_key, _ in itertools.groupby(signed.body.root_key for signed in chain)]
    if len(set(generations)) != len(generations):
        raise StatementError("a root key that was replaced comes back")
    return tuple(chain)


def verify_person(
    identity: IdentityHash,
    chain: Sequence[Signed[Identity]],
    devices: Sequence[Signed[Device]],
    removals: Sequence[Signed[Removal]],
) -> Person:
    """The person `identity`, from statements in the order in which they were accepted.

    1. The identity chain verifies. Its root keys, each once, are the **generations** of this person.
    2. Each device names this identity and is signed by a root key, whose generation it is of, or by an earlier device
       of the list, whose generation it shares. What root keys signed stands in the order of the generations.
    3. Each removal names this identity and is signed by a root key, likewise; it removes no device of a later one.
    4. A removed device is void from `since`, and each device from the time of the statement that replaced its root key;
       a device that it enrolled at or after then is void altogether, and so on.

    Each signature is checked against one key, or against each generation once in all. Raises `StatementError` or
    `SignatureError`.
    """
    # 1
    verified = verify_identity_chain(identity, chain)
    # 2
    roots = _Generations(verified)
    enrolled: dict[StatementHash, EnrolledDevice] = {}
    for device in devices:
        if device.body.identity != identity:
            raise StatementError("a device statement names another person")
        if device.body.enrolled_by is None:
            generation = roots.verify(device)
        else:
            enroller = enrolled.get(device.body.enrolled_by)
            if enroller is None:
                raise SignatureError("a device was enrolled by a device that is not known")
            device.verify(enroller.statement.body.device_key)
            generation = enroller.generation
        replaced = roots.replaced_at(generation)
        enrolled[device.hash] = EnrolledDevice(device, generation, void_from=replaced, removed_at=replaced)
    # 3, and 4 of removed devices
    roots = _Generations(verified)
    for removal in removals:
        if removal.body.identity != identity:
            raise StatementError("a removal names another person")
        generation = roots.verify(removal)
        removed = enrolled.get(removal.body.device)
        if removed is not None and removed.generation <= generation:
            enrolled[removal.body.device] = removed.shut_out(since=removal.body.since, at=removal.body.issued_at)
    # 4 of what they enrolled: an enroller comes before
    for name, known in enrolled.items():
        by = known.statement.body.enrolled_by
        if by is not None and enrolled[by].is_void_at(known.statement.body.issued_at):
            enrolled[name] = known.shut_out(since=0, at=enrolled[by].removed_at or 0)
    return Person(identity, verified, enrolled, tuple(removals))


class _Generations:
    """The root keys of a person, and the one that the statements of one list have come to."""

    __slots__ = ("_now", "_replaced", "_root_keys")

    def __init__(self, chain: Sequence[Signed[Identity]]) -> None:
        self._root_keys: list[Ed25519PublicKey] = []
        self._replaced: list[int] = []
        self._now = 0
        for signed in chain:
            if not self._root_keys or self._root_keys[-1] != signed.body.root_key:
                if self._root_keys:
                    self._replaced.append(signed.body.issued_at)
                self._root_keys.append(signed.body.root_key)

    def verify(self, signed: Signed[Device] | Signed[Removal]) -> int:
        """The generation of who signed `signed`: that of the statement before, or later. Raises `SignatureError`."""
        for generation in range(self._now, len(self._root_keys)):
            with contextlib.suppress(SignatureError):
                signed.verify(self._root_keys[generation])
                self._now = generation
                return generation
        raise SignatureError("not signed by a root key of this person, or not in the order of their root keys")

    def replaced_at(self, generation: int) -> int | None:
        """When the root key of `generation` was replaced; None if it is the one now."""
        return self._replaced[generation] if generation < len(self._replaced) else None


def verify_attestation(
    attestation: Signed[Attestation],
    lists: Sequence[Signed[RevocationList]],
    registrars: Sequence[Ed25519PublicKey],
    *,
    subject: Person,
    now: int,
) -> None:
    """Check that `attestation` makes `subject` a practitioner now, with the keys that they have now.

    1. Its registrar is pinned, and signed it.
    2. It names the subject and the subject's newest identity statement.
    3. not_before <= now < expires.
    4. The registrar's newest list is present, signed, not past its `next_update`, and does not name it.

    Raises `SignatureError` or `StatementError`. `lists` may hold lists of other registrars.
    """
    keys: dict[Fingerprint, Ed25519PublicKey] = {key.fingerprint(): key for key in registrars}
    body = attestation.body
    key = keys.get(body.registrar)
    if key is None:
        raise SignatureError("attested by a registrar that is not pinned here")
    attestation.verify(key)
    if body.subject != subject.identity or body.subject_statement != subject.current.hash:
        raise StatementError("the attestation is for other keys than this practitioner has now")
    if not body.not_before <= now < body.expires:
        raise StatementError("the attestation is not in force now")
    verify_not_revoked(attestation, lists, key, now=now)


def verify_not_revoked(
    attestation: Signed[Attestation], lists: Sequence[Signed[RevocationList]], key: Ed25519PublicKey, *, now: int
) -> None:
    """Check step 4 of `verify_attestation`. Raises `SignatureError` or `StatementError`."""
    newest: Signed[RevocationList] | None = None
    for signed in lists:
        if signed.body.registrar == attestation.body.registrar and (
            newest is None or signed.body.number > newest.body.number
        ):
            newest = signed
    if newest is None:
        raise StatementError("the registrar's revocation list is missing")
    newest.verify(key)
    if not newest.body.issued_at - CLOCK_SKEW_SECONDS <= now < newest.body.next_update:
        raise StatementError("the registrar's revocation list is out of date")
    if attestation.body.id in newest.body.revoked:
        raise StatementError("the attestation was revoked by its registrar")
