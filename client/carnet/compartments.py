"""Compartments as this client believes them: chains of signed statements, and the keys to them (spec `statements.md`).

A chain proves itself link by link; the servers only keep it. Pure: statements in, verified values out.
"""

import hmac
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from carnet.boxes import open_compartment_name, open_readers_opening
from carnet.errors import DecryptionError, RollbackError, VerificationError
from carnet.sealing import KemPrivateKey
from carnet_protocol import labels
from carnet_protocol.authority import Person
from carnet_protocol.encoding import hash_packed
from carnet_protocol.errors import ProtocolError, SignatureError
from carnet_protocol.ids import Commitment, CompartmentId, Fingerprint, RecordId, StatementHash
from carnet_protocol.statements import Closing, Compartment, Grant, Permission, Revocation, Signed


@dataclass(frozen=True)
class CompartmentAccess:
    """A verified compartment: its epochs, oldest first, which are closed, and the private keys that were sealed to us.

    `is_trusted` is False while the newest epoch was made by a device that its owner shut out: nothing may be sealed
    to it. `keys` is empty for a depositor.
    """

    id: CompartmentId
    chain: tuple[Signed[Compartment], ...]
    closed: frozenset[StatementHash]
    keys: dict[StatementHash, KemPrivateKey]
    is_trusted: bool

    @property
    def newest(self) -> Signed[Compartment]:
        """The newest epoch, the one to seal to."""
        return self.chain[-1]

    @property
    def open_epochs(self) -> tuple[Signed[Compartment], ...]:
        """The epochs that are not closed, oldest first."""
        return tuple(signed for signed in self.chain if signed.hash not in self.closed)

    @cached_property
    def name(self) -> str | None:
        """The patient's name for it, None for who holds no key to it. Raises `DecryptionError`."""
        for signed in reversed(self.chain):
            if signed.hash in self.keys:
                return open_compartment_name(signed, self.keys[signed.hash])
        return None

    def statement(self, name: StatementHash) -> Signed[Compartment]:
        """The epoch whose statement is `name`. Raises `VerificationError` if it is none of this compartment."""
        for signed in self.chain:
            if signed.hash == name:
                return signed
        raise VerificationError("a capsule names an epoch that its compartment never had: it was not opened")

    def key(self, statement: StatementHash) -> KemPrivateKey:
        """The private key of the epoch `statement`. Raises `VerificationError` if it was not sealed to us."""
        found = self.keys.get(statement)
        if found is None:
            raise VerificationError(
                "the key service gave no key to an epoch of this record: ask the patient, or its operator"
            )
        return found

    def __repr__(self) -> str:
        """No name, no key."""
        return f"CompartmentAccess({self.id}, epoch={self.newest.body.epoch})"


VerifiedEpochs = dict[str, Signed[Compartment]]
"""Statements by their text that were verified before. The device that each names decides its key, once and for all."""


def verify_chains(
    texts: Iterable[str],
    *,
    record: RecordId,
    patient: Person,
    keyservice: Fingerprint,
    verified: VerifiedEpochs | None = None,
) -> dict[CompartmentId, tuple[Signed[Compartment], ...]]:
    """The chains of compartment statements in `texts`, each oldest first.

    1. Each statement parses and is signed by a device that the patient enrolled, unless `verified` says so already.
    2. Each names this record and this key service.
    3. Epochs count on from one and chain through `previous`.

    A statement of a device that was shut out later stays a link of its chain, so that the epochs after it still prove
    themselves; `is_trusted` tells whether the newest is one. Raises `VerificationError`.
    """
    known = {} if verified is None else verified
    chains: dict[CompartmentId, list[Signed[Compartment]]] = {}
    for text in texts:
        # 1
        signed = known.get(text)
        if signed is None or signed.body.device not in patient.devices:
            signed = known[text] = verify_compartment(text, patient)
        # 2
        if signed.body.record != record or signed.body.keyservice != keyservice:
            raise VerificationError("a compartment is of another record or another key service: nothing was used")
        chains.setdefault(signed.body.compartment, []).append(signed)
    for chain in chains.values():
        # 3
        chain.sort(key=lambda signed: signed.body.epoch)
        for position, signed in enumerate(chain):
            previous = chain[position - 1].hash if position else None
            if signed.body.epoch != position + 1 or signed.body.previous != previous:
                raise VerificationError("the epochs of a compartment do not form a chain: nothing was used")
    return {name: tuple(chain) for name, chain in chains.items()}


def verify_compartment(text: str, patient: Person) -> Signed[Compartment]:
    """The compartment statement in `text`, of a device that `patient` ever enrolled. Raises `VerificationError`."""
    try:
        signed = Signed.parse(text, Compartment)
        device = patient.devices.get(signed.body.device)
        if device is None:
            raise SignatureError("signed by a device that this person never enrolled")
        signed.verify(device.statement.body.device_key)
    except ProtocolError as error:
        raise VerificationError(f"a compartment is not the patient's ({error}): nothing was used") from error
    return signed


def is_trusted(signed: Signed[Compartment], patient: Person) -> bool:
    """Whether no one shut out the device that made `signed`, before or after: its date is the device's to choose."""
    device = patient.devices.get(signed.body.device)
    return device is not None and device.void_from is None


def verify_closings(
    texts: Iterable[str], chains: dict[CompartmentId, tuple[Signed[Compartment], ...]], *, patient: Person
) -> frozenset[StatementHash]:
    """The closed epochs, by their statements.

    1. Each closing parses, and a device of the patient signed it. One that was shut out later counts too: a closing
       only restricts, and an epoch stays closed when the device that closed it is lost.
    2. It names an epoch of its compartment that is not the newest. One that does not, of a device that was shut out, is
       passed over: the device may have made what it closes known to one server alone.

    Raises `VerificationError`.
    """
    closed: set[StatementHash] = set()
    for text in texts:
        try:
            # 1
            signed = Signed.parse(text, Closing)
            signed.verify(patient.enrolled_key(signed.body.device))
        except ProtocolError as error:
            raise VerificationError(f"a closing is not the patient's ({error}): nothing was used") from error
        # 2
        chain = chains.get(signed.body.compartment, ())
        superseded = {older.hash: older.body.epoch for older in chain[:-1]}
        if superseded.get(signed.body.compartment_statement) != signed.body.epoch:
            if patient.devices[signed.body.device].void_from is not None:
                continue
            raise VerificationError("a closing names an epoch that is none, or the newest: nothing was used")
        closed.add(signed.body.compartment_statement)
    return frozenset(closed)


def commit_to_readers(
    salt: bytes, *, grants: Collection[StatementHash], revocations: Collection[StatementHash]
) -> Commitment:
    """The commitment of a compartment statement to those who may read it (spec `keys.md`, "Readers")."""
    return Commitment(
        hash_packed(
            labels.READERS_COMMITMENT,
            salt,
            b"".join(name.raw for name in sorted(grants)),
            b"".join(name.raw for name in sorted(revocations)),
        )
    )


def covering_grants(
    compartment: CompartmentId, *, grants: Sequence[Signed[Grant]], revocations: Sequence[Signed[Revocation]], now: int
) -> list[Signed[Grant]]:
    """The read grants that cover `compartment`, are not revoked and have not expired: who reads it, or will."""
    revoked = {revocation.body.grant for revocation in revocations}
    return [
        grant
        for grant in grants
        if grant.body.permission is Permission.READ
        and compartment in grant.body.compartments
        and grant.hash not in revoked
        and now < grant.body.expires
    ]


def verify_readers(
    newest: Signed[Compartment],
    *,
    grants: Sequence[Signed[Grant]],
    revocations: Sequence[Signed[Revocation]],
    account_kem_keys: Sequence[KemPrivateKey],
) -> None:
    """Check that no server withholds a grant or a revocation that the device which made `newest` knew of.

    That device knew a beginning of each list, for both only grow at their end; `newest` commits to what it knew.
    `grants` and `revocations` are verified and in the order of acceptance at the key service. What was issued more
    than an hour later was not known, and what was accepted just before may not have been. Raises `RollbackError` if no
    beginnings fit, `DecryptionError` if the opening was changed.
    """
    body = newest.body
    salt = _open_salt(body, account_kem_keys)
    latest = body.issued_at + _DEVICE_CLOCKS_SECONDS
    most_grants = sum(1 for grant in grants if grant.body.issued_at <= latest)
    most_revocations = sum(1 for revocation in revocations if revocation.body.issued_at <= latest)
    for known_grants, known_revocations in _beginnings(most_grants, most_revocations):
        known = revocations[:known_revocations]
        readers = covering_grants(body.compartment, grants=grants[:known_grants], revocations=known, now=body.issued_at)
        commitment = commit_to_readers(
            salt, grants=[grant.hash for grant in readers], revocations=[revocation.hash for revocation in known]
        )
        if hmac.compare_digest(commitment.raw, body.readers_commitment.raw):
            return
    raise RollbackError(
        "a server withholds a grant or a revocation that another of your devices knew of: ask the operators"
    )


def _open_salt(body: Compartment, account_kem_keys: Sequence[KemPrivateKey]) -> bytes:
    """The salt, with whichever account key was the newest when the epoch was made."""
    for account_kem_key in account_kem_keys:
        with suppress(DecryptionError):
            return open_readers_opening(body, account_kem_key)
    raise DecryptionError


_DEVICE_CLOCKS_SECONDS: Final = 3600


def _beginnings(grants: int, revocations: int) -> Iterator[tuple[int, int]]:
    """How many of each a device may have known: from everything down and from nothing up, in turn.

    What came later is little, or it is the many that a thief dates back; then what was known is little beside them.
    """
    together = grants + revocations
    for distance in range(together // 2 + 1):
        for known in (together - distance, distance):
            for known_grants in range(max(0, known - revocations), min(grants, known) + 1):
                yield known_grants, known - known_grants
