"""People as this client believes them: fetched from both servers, verified, compared, pinned (promise P09).

A person is what the signed statements say, never what a server says beside them. Keys to which something is sealed
must be attested now, and be the ones that were accepted before; the client's own keys are derived, never looked up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from carnet.errors import ChangedKeysError, DisagreementError, RollbackError, VerificationError
from carnet.keyring import Keyring
from carnet.pins import Pins
from carnet.short_code import derive_short_code, format_short_code
from carnet_protocol.api import PersonBundle, PersonView
from carnet_protocol.authority import Person, verify_attestation, verify_person
from carnet_protocol.errors import ProtocolError, SignatureError, StatementError
from carnet_protocol.ids import Ed25519PublicKey, IdentityHash
from carnet_protocol.statements import Attestation, Device, Identity, Removal, RevocationList, Role, Signed, Succession

_S = TypeVar("_S", Attestation, RevocationList)


@dataclass(frozen=True, slots=True)
class Practitioner:
    """A verified practitioner, attested now; `statements` prove the attestation later."""

    person: Person
    attestation: Signed[Attestation]
    revocation_lists: tuple[Signed[RevocationList], ...]

    @property
    def short_code(self) -> str:
        """What to compare with the practitioner in person."""
        return format_short_code(derive_short_code(self.person.identity))


class People:
    """Verified people of one session; the same statements are verified once."""

    __slots__ = ("_pins", "_verified")

    def __init__(self, pins: Pins) -> None:
        """People that must not contradict `pins`."""
        self._pins = pins
        self._verified: dict[tuple[IdentityHash, PersonBundle], Person] = {}

    def verify(self, identity: IdentityHash, bundle: PersonBundle) -> Person:
        """The person `identity` that `bundle` proves, checked against the pins.

        Raises `VerificationError` or `RollbackError`.
        """
        known = self._verified.get((identity, bundle))
        if known is None:
            known = verify_bundle(identity, bundle)
            self._verified[identity, bundle] = known
        self._pins.check_person(known)
        return known

    def verify_both(self, identity: IdentityHash, *, vault: PersonBundle, keyservice: PersonBundle) -> Person:
        """The person `identity`, as both servers show them.

        1. The statements of each server verify.
        2. Both know the same identity statements and removals. A device that one of them has not heard of yet counts.
        3. Nothing seen before is missing.

        Raises `VerificationError`, `DisagreementError` or `RollbackError`.
        """
        if vault == keyservice:
            return self.verify(identity, keyservice)
        # 1
        by_vault = verify_bundle(identity, vault)
        by_keyservice = verify_bundle(identity, keyservice)
        # 2
        if [signed.hash for signed in by_vault.chain] != [signed.hash for signed in by_keyservice.chain]:
            raise DisagreementError(
                f"the vault shows {len(by_vault.chain)} and the key service {len(by_keyservice.chain)} identity "
                "statements of the same person: nothing was used; try again, then ask the operators"
            )
        if {removal.hash for removal in by_vault.removals} != {removal.hash for removal in by_keyservice.removals}:
            raise DisagreementError(
                f"the vault knows {len(by_vault.removals)} and the key service {len(by_keyservice.removals)} removed "
                "devices of the same person: nothing was used; try again, then ask the operators"
            )
        # 3
        return self.verify(identity, _join(by_keyservice, by_vault))

    def verify_practitioner(
        self,
        identity: IdentityHash,
        *,
        vault: PersonView,
        keyservice: PersonView,
        registrars: Sequence[Ed25519PublicKey],
        now: int,
        succeeds: IdentityHash | None = None,
    ) -> Practitioner:
        """The practitioner `identity`, attested now by one of `registrars`; as the successor of `succeeds` if given.

        1. Both servers show the same person, who is a practitioner.
        2. An attestation that either server shows is valid for the keys that the person has now, under the newest
           revocation list that either shows; it names `succeeds` if that is given.

        Raises `VerificationError`, `DisagreementError` or `RollbackError`.
        """
        # 1
        person = self.verify_both(identity, vault=vault.person, keyservice=keyservice.person)
        if person.role is not Role.PRACTITIONER:
            raise VerificationError("this is not a practitioner: only practitioners are let into a record")
        # 2
        lists = tuple(_parse_all({*vault.revocation_lists, *keyservice.revocation_lists}, RevocationList))
        attestations = [
            signed
            for signed in _parse_all({*vault.attestations, *keyservice.attestations}, Attestation)
            if succeeds is None or signed.body.succeeds == succeeds
        ]
        failure: ProtocolError | None = None
        for attestation in sorted(attestations, key=lambda signed: signed.body.expires, reverse=True):
            try:
                verify_attestation(attestation, lists, registrars, subject=person, now=now)
            except (SignatureError, StatementError) as error:
                failure = error
            else:
                return Practitioner(person, attestation, lists)
        reason = "no registrar attests them" if failure is None else str(failure)
        raise VerificationError(
            f"this practitioner cannot be relied on now ({reason}): ask them to renew their attestation"
        ) from failure

    def last_attestation(
        self,
        identity: IdentityHash,
        *,
        vault: PersonView,
        keyservice: PersonView,
        registrars: Sequence[Ed25519PublicKey],
    ) -> Attestation | None:
        """What one of `registrars` attested of `identity` last, in force now or not: a name for what they did before.

        None where no server shows anything. Nothing may be sealed to anybody on the strength of it.
        """
        signed = [
            attestation.body
            for attestation in _parse_all({*vault.attestations, *keyservice.attestations}, Attestation)
            if attestation.body.subject == identity and any(_is_signed_by(attestation, key) for key in registrars)
        ]
        return max(signed, key=lambda body: body.not_before, default=None)

    def check_accepted(self, practitioner: Practitioner) -> None:
        """Check that nothing is sealed to keys that nobody accepted. The first ones are accepted as they are.

        Raises `ChangedKeysError` if the keys changed since.
        """
        accepted = self._pins.accepted_keys(practitioner.person.identity)
        if accepted is None:
            self._pins.accept_keys(practitioner.person)
        elif accepted != practitioner.person.current.hash:
            raise ChangedKeysError(
                f"the keys of {practitioner.attestation.body.name} are not the ones you knew: nothing was shared. "
                f"Call or meet them; if they say that they renewed their keys, accept the new ones and try again"
            )

    def accept(self, practitioner: Practitioner) -> None:
        """Accept the keys that `practitioner` has now, once a person said that they are the right ones."""
        self._pins.accept_keys(practitioner.person)


def verify_bundle(identity: IdentityHash, bundle: PersonBundle) -> Person:
    """The person `identity` that `bundle` proves by itself. Raises `VerificationError`."""
    try:
        return verify_person(
            identity,
            [Signed.parse(text, Identity) for text in bundle.identities],
            [Signed.parse(text, Device) for text in bundle.devices],
            [Signed.parse(text, Removal) for text in bundle.removals],
        )
    except ProtocolError as error:
        raise VerificationError(
            f"somebody's statements do not prove who they are ({error}): nothing was used"
        ) from error


def verify_own(person: Person, keyring: Keyring) -> None:
    """Check that `person`, as servers show them, is the owner of `keyring`, with the very keys in it.

    1. It is this identity, with every identity statement that the keyring knows.
    2. The keyring holds the account key of the newest statement.
    3. The public key derived from it is the one that the statement shows.
    4. This device is enrolled and was not removed.

    Raises `VerificationError`, or `RollbackError` where the servers do not show what the keyring knows.
    """
    # 1
    if person.identity != keyring.identity:
        raise VerificationError("a server shows somebody else in your place: nothing was used; ask the operators")
    if keyring.body.account_keys[-1].statement not in {signed.hash for signed in person.chain}:
        raise RollbackError(
            "the servers show an older state of your own keys than this device knows: nothing was used; "
            "run the same command again, then ask the operators"
        )
    # 2
    account_kem_key = keyring.account_kem_key(person.current.hash)
    if account_kem_key is None:
        raise VerificationError(
            "your keys were renewed on another device, and this one has not got the new ones: let it join again there"
        )
    # 3
    if account_kem_key.public_key != person.current.body.account_kem_key:
        raise VerificationError(
            "a server shows other keys than yours in your name: nothing was used; ask the operators"
        )
    # 4
    device = person.devices.get(keyring.body.device)
    if device is None or device.void_from is not None:
        raise VerificationError("this device was removed from its owner's devices: use another, or restore here")


def parse_succession(text: str, *, predecessor: Person, root_keys: Sequence[Ed25519PublicKey]) -> Signed[Succession]:
    """The succession in `text`, which one of `root_keys` of `predecessor` signed. Raises `VerificationError`."""
    try:
        succession = Signed.parse(text, Succession)
    except ProtocolError as error:
        raise VerificationError("a server shows a succession that is none: ask its operator") from error
    if not any(_is_signed_by(succession, key) for key in root_keys):
        raise VerificationError("a succession is not signed by the one who hands over")
    if succession.body.predecessor != predecessor.identity:
        raise VerificationError("a succession names other people")
    return succession


def verify_succession(text: str, *, predecessor: Person, successor: Practitioner) -> Signed[Succession]:
    """The succession that hands the grants of `predecessor` to `successor`.

    1. It is signed by a root key of the predecessor.
    2. It names both, and the successor's newest keys.
    3. The successor's attestation names the predecessor.

    Raises `VerificationError`.
    """
    # 1
    succession = parse_succession(text, predecessor=predecessor, root_keys=[predecessor.root_key])
    body = succession.body
    # 2
    if body.successor != successor.person.identity:
        raise VerificationError("a succession names other people")
    if body.successor_statement not in {signed.hash for signed in successor.person.chain}:
        raise VerificationError("a succession names keys that its successor never had")
    # 3
    if successor.attestation.body.succeeds != predecessor.identity:
        raise VerificationError("no registrar attests that this practitioner takes over from the other")
    return succession


def _is_signed_by(signed: Signed[Succession] | Signed[Attestation], key: Ed25519PublicKey) -> bool:
    try:
        signed.verify(key)
    except SignatureError:
        return False
    return True


def _join(first: Person, second: Person) -> PersonBundle:
    """The statements of both, with the devices in the order of the root keys under which they were enrolled."""
    devices = sorted({**second.devices, **first.devices}.values(), key=lambda device: device.generation)
    return PersonBundle(
        identities=tuple(signed.text for signed in first.chain),
        devices=tuple(device.statement.text for device in devices),
        removals=tuple(signed.text for signed in first.removals),
    )


def _parse_all(texts: Iterable[str], kind: type[_S]) -> list[Signed[_S]]:
    parsed: list[Signed[_S]] = []
    for text in sorted(texts):
        try:
            parsed.append(Signed.parse(text, kind))
        except ProtocolError as error:
            raise VerificationError(
                "a server shows a statement of the directory that is none: ask its operator"
            ) from error
    return parsed
