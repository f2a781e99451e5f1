"""A registrar, offline: attests practitioners and takes attestations back (spec `statements.md`, "Directory").

    registrar = make_registrar(Home(folder), passphrase="…", now=now)
    attestation = registrar.attest(person, name="Dr. A. Weber", profession=Profession.PHYSICIAN, …)
    registrar.publish(vault, keyservice, now=now)

The key lies in a folder of its own, sealed under a passphrase and a device secret; what was attested and revoked stands
beside it in the clear, for it is published anyway. Only `publish` needs a network, and nothing here believes a server.
"""

import secrets
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from carnet.errors import HomeTakenError, NotFoundError, UsageError, VerificationError
from carnet.home import Home
from carnet.keyring import DEVICE_SECRET_FILE
from carnet.keys import AccountKey, DeviceSecret
from carnet.receipts import verify_receipts
from carnet.sealing import PassphraseCost, Random
from carnet.slots import Slot, check_passphrase, derive_passphrase_slot_key, make_passphrase_slot, open_slot
from carnet.transport import ServerClient
from carnet_protocol.api import Accepted, DirectoryUpdate
from carnet_protocol.api.people import Jws
from carnet_protocol.authority import Person
from carnet_protocol.encoding import format_canonical_json, parse_canonical_json
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import AttestationId, Ed25519PublicKey, IdentityHash
from carnet_protocol.limits import MAX_ATTESTATION_SECONDS, MAX_REVOKED_ATTESTATIONS
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Attestation, Profession, RevocationList, Role, Signed
from carnet_protocol.statements.people import SigningPublicKey
from carnet_protocol.wire import WireModel

REGISTRAR_FILE: Final = "registrar.json"
DIRECTORY_PATH: Final = "/v1/directory"
_LIST_SECONDS: Final = 30 * 86_400
_PER_REQUEST: Final = 100


class _RegistrarFile(WireModel):
    attestations: Annotated[tuple[Jws, ...], Field(strict=False)]
    format: Literal["carnet.registrar.v1"]
    number: Annotated[int, Field(ge=0)]
    public_key: SigningPublicKey
    revoked: Annotated[tuple[AttestationId, ...], Field(strict=False)]
    slot: Slot


class Registrar:
    """An open registrar's key. Every change is on disk before the method returns."""

    __slots__ = ("_file", "_home", "_signer")

    def __init__(self, home: Home, file: _RegistrarFile, signer: Signer) -> None:
        """Use `make_registrar` or `open_registrar`."""
        self._home = home
        self._file = file
        self._signer = signer

    def __repr__(self) -> str:
        """No secret."""
        return f"Registrar({self.public_key})"

    @property
    def public_key(self) -> Ed25519PublicKey:
        """What a service card pins."""
        return self._signer.public_key

    def attest(
        self,
        person: Person,
        *,
        name: str,
        profession: Profession,
        organisation: str,
        now: int,
        seconds: int = MAX_ATTESTATION_SECONDS,
        succeeds: IdentityHash | None = None,
        random: Random = secrets.token_bytes,
    ) -> Signed[Attestation]:
        """An attestation of `person`, verified, whose short code was compared in person, with the keys of now.

        Raises `UsageError` for a patient, or for members against the rules of the statement.
        """
        if person.role is not Role.PRACTITIONER:
            raise UsageError("this is a patient's identity: attest practitioners")
        try:
            body = Attestation(
                id=AttestationId.make(random),
                registrar=self.public_key.fingerprint(),
                subject=person.identity,
                subject_statement=person.current.hash,
                succeeds=succeeds,
                name=name,
                profession=profession,
                organisation=organisation,
                not_before=now,
                expires=now + seconds,
            )
        except ValidationError as error:
            raise UsageError(
                "an attestation has a name and an organisation of 1 to 200 plain characters, and lasts at most 90 days"
            ) from error
        signed = Signed.sign(body, self._signer)
        lasting = [text for text in self._file.attestations if Signed.parse(text, Attestation).body.expires > now]
        self._store(self._file.model_copy(update={"attestations": (*lasting, signed.text)}))
        return signed

    def attestations(self) -> list[Signed[Attestation]]:
        """The attestations that had not expired when the last one was made, oldest first."""
        return [Signed.parse(text, Attestation) for text in self._file.attestations]

    def revoked(self) -> frozenset[AttestationId]:
        """The attestations that were taken back and have not run out: what the next list names."""
        return frozenset(self._file.revoked)

    def revoke(self, attestation: AttestationId, *, now: int) -> None:
        """Take `attestation` back; it counts once `publish` was run.

        Raises `NotFoundError` for one that is not on file, `UsageError` if a list would grow too long.
        """
        lasting = {signed.body.id for signed in self.attestations() if signed.body.expires > now}
        if attestation not in lasting:
            raise NotFoundError("no attestation in force has this id: see `carnet registrar list`")
        revoked = tuple(sorted({name for name in self._file.revoked if name in lasting} | {attestation}))
        if len(revoked) > MAX_REVOKED_ATTESTATIONS:
            raise UsageError("too many attestations are revoked at once: let some expire, or use a second registrar")
        self._store(self._file.model_copy(update={"revoked": revoked}))

    def sign_list(self, *, now: int, seconds: int = _LIST_SECONDS) -> Signed[RevocationList]:
        """The next revocation list, good for `seconds`; without a fresh one nobody attested is relied on."""
        number = self._file.number + 1
        body = RevocationList(
            registrar=self.public_key.fingerprint(),
            number=number,
            issued_at=now,
            next_update=now + seconds,
            revoked=self._file.revoked,
        )
        self._store(self._file.model_copy(update={"number": number}))
        return Signed.sign(body, self._signer)

    def publish(self, vault: ServerClient, keyservice: ServerClient, *, now: int) -> Signed[RevocationList]:
        """Let both servers know of every attestation on file and of a fresh revocation list; repeat without harm.

        Raises a `TransportError`.
        """
        revocation_list = self.sign_list(now=now)
        lasting = [signed.text for signed in self.attestations() if signed.body.expires > now]
        for server in (keyservice, vault):
            _post(server, [revocation_list.text, *lasting])
        return revocation_list

    def _store(self, file: _RegistrarFile) -> None:
        with self._home.lock():
            self._home.store(REGISTRAR_FILE, _format(file))
        self._file = file


def make_registrar(
    home: Home,
    *,
    passphrase: str,
    now: int,
    cost: PassphraseCost | None = None,
    random: Random = secrets.token_bytes,
) -> Registrar:
    """A new registrar in the empty folder `home`. Raises `HomeTakenError` or `UsageError`."""
    check_passphrase(passphrase)
    home.create()
    if home.has(REGISTRAR_FILE):
        raise HomeTakenError(f"there is a registrar in {home.path} already: name another folder")
    seed = AccountKey.make(random)
    signer = Signer(seed.reveal())
    device_secret = DeviceSecret.make(random)
    home.store(DEVICE_SECRET_FILE, device_secret.reveal())
    slot, _ = make_passphrase_slot(
        seed,
        passphrase,
        device_secret,
        identity=_name(signer.public_key),
        now=now,
        cost=cost,
        random=random,
    )
    file = _RegistrarFile(
        attestations=(),
        format="carnet.registrar.v1",
        number=0,
        public_key=signer.public_key,
        revoked=(),
        slot=slot,
    )
    home.store(REGISTRAR_FILE, _format(file))
    return Registrar(home, file, signer)


def open_registrar(home: Home, *, passphrase: str) -> Registrar:
    """The registrar in `home`. Raises `HomeError`, `UnlockError` or `VerificationError`."""
    try:
        file = _RegistrarFile.model_validate(parse_canonical_json(home.load(REGISTRAR_FILE)))
    except (MalformedError, ValidationError) as error:
        raise VerificationError("the registrar's file was changed: take it from a backup") from error
    key = derive_passphrase_slot_key(file.slot, passphrase, home.load_device_secret())
    signer = Signer(open_slot(file.slot, key, identity=_name(file.public_key)).reveal())
    if signer.public_key != file.public_key:
        raise VerificationError("the registrar's file was changed: take it from a backup")
    return Registrar(home, file, signer)


def _name(public_key: Ed25519PublicKey) -> IdentityHash:
    """What the slot is bound to: the registrar's fingerprint stands where a person's identity hash does."""
    return IdentityHash(public_key.fingerprint().raw)


def _format(file: _RegistrarFile) -> bytes:
    return format_canonical_json(file.model_dump(mode="json"))


def _post(server: ServerClient, texts: Sequence[str]) -> None:
    for start in range(0, len(texts), _PER_REQUEST):
        batch = tuple(texts[start : start + _PER_REQUEST])
        accepted = server.post(DIRECTORY_PATH, DirectoryUpdate(statements=batch), Accepted)
        verify_receipts(accepted.receipts, server, count=len(batch))
