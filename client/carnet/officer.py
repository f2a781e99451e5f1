"""A security officer of a server: looks at its state, puts other officers in force and retires them (spec `api.md`).

    officer = make_officer(Home(folder), passphrase="…", now=now)
    status = officer.fetch_status(vault)
    officer.enrol(public_key, vault)

The key lies in a home folder, sealed under a passphrase and a device secret. It counts at a server once it is enrolled
there: the first officer's on the machine itself, every other by an officer. Each server has officers of its own.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

from pydantic import ValidationError

from carnet.errors import (
    ConflictError,
    HomeTakenError,
    RefusedError,
    UnauthenticatedError,
    UsageError,
    VerificationError,
)
from carnet.home import Home
from carnet.receipts import verify_receipts
from carnet.sealed_signer import make_sealed_signer, open_sealed_signer
from carnet.sealing import PassphraseCost, Random
from carnet.slots import Slot, check_passphrase
from carnet.transport import KeySigner, ServerClient, ServerName
from carnet_protocol.api import Accepted, OfficerUpdate, ServerStatus
from carnet_protocol.encoding import format_canonical_json, parse_canonical_json
from carnet_protocol.errors import MalformedError, ProtocolError
from carnet_protocol.ids import Ed25519PublicKey, Fingerprint
from carnet_protocol.requests import KeyId
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Destruction, Receipt, RotationReport, Server, Signed
from carnet_protocol.statements.people import SigningPublicKey
from carnet_protocol.wire import WireModel

OFFICER_FILE: Final = "officer.json"
STATUS_PATH: Final = "/v1/admin/status"
OFFICERS_PATH: Final = "/v1/admin/officers"
_PROGRAMS: Final = {ServerName.VAULT: "carnet-vault", ServerName.KEYSERVICE: "carnet-keyservice"}


class _OfficerFile(WireModel):
    format: Literal["carnet.officer.v1"]
    public_key: SigningPublicKey
    slot: Slot


class Officer:
    """An open officer's key."""

    __slots__ = ("_signer",)

    def __init__(self, signer: Signer) -> None:
        """Use `make_officer` or `open_officer`."""
        self._signer = signer

    def __repr__(self) -> str:
        """No secret."""
        return f"Officer({self.public_key})"

    @property
    def public_key(self) -> Ed25519PublicKey:
        """What a server enrols."""
        return self._signer.public_key

    def fetch_status(self, server: ServerClient) -> ServerStatus:
        """The state of `server` in numbers, and its officers. Raises `VerificationError` or a `TransportError`."""
        with _explaining(server):
            status = self._at(server).get(STATUS_PATH, ServerStatus)
        if status.server != server.fingerprint:
            raise VerificationError(f"the {server.name} gave the status of another server: ask its operator")
        return status

    def enrol(self, public_key: Ed25519PublicKey, server: ServerClient) -> Signed[Receipt]:
        """Put the officer with `public_key` in force at `server`; repeat without harm.

        Raises `UsageError` for a key that is none, `VerificationError` or a `TransportError`.
        """
        try:
            update = OfficerUpdate(public_key=public_key)
        except ValidationError as error:
            raise UsageError("this is no public key of an officer: ask for it again") from error
        try:
            with _explaining(server):
                accepted = self._at(server).post(OFFICERS_PATH, update, Accepted)
        except ConflictError as error:
            message = f"this key was retired at the {server.name}, for good: let them make a new one in another home"
            raise ConflictError(error.code, message) from error
        (receipt,) = verify_receipts(accepted.receipts, server, count=1)
        return receipt

    def retire(self, officer: Fingerprint, server: ServerClient) -> Signed[Receipt]:
        """Retire the key of `officer` at `server`, for good. Raises `VerificationError` or a `TransportError`."""
        try:
            with _explaining(server):
                accepted = self._at(server).delete(f"{OFFICERS_PATH}/{officer}", Accepted)
        except RefusedError as error:
            message = f"the {server.name} knows no officer of this fingerprint: see `carnet officer status`"
            raise RefusedError(error.code, message) from error
        (receipt,) = verify_receipts(accepted.receipts, server, count=1)
        return receipt

    def order_destruction(
        self, keyservice: Fingerprint, *, version: int | None, retired_before: int | None, now: int, seconds: int
    ) -> Signed[Destruction]:
        """An order to the key service with the fingerprint `keyservice` to destroy a master key, or retired locks.

        It is good for `seconds`. Raises `UsageError` where there can be no such order.
        """
        try:
            body = Destruction(
                keyservice=keyservice,
                officer=self.public_key.fingerprint(),
                destroys="record-locks" if version is None else "master-key",
                version=version,
                retired_before=retired_before,
                issued_at=now,
                expires=now + seconds,
            )
        except ValidationError as error:
            raise UsageError("an order is good for a second at least and a week at most") from error
        return Signed.sign(body, self._signer)

    def _at(self, server: ServerClient) -> ServerClient:
        return server.signed_by(KeySigner(KeyId(self.public_key.fingerprint().raw), self._signer.sign))


def make_officer(
    home: Home,
    *,
    passphrase: str,
    now: int,
    cost: PassphraseCost | None = None,
    random: Random = secrets.token_bytes,
) -> Officer:
    """A new officer's key in the folder `home`. Raises `HomeError` or `UsageError`."""
    check_passphrase(passphrase)
    home.create()
    with home.lock():
        if home.has(OFFICER_FILE):
            raise HomeTakenError(f"there is an officer's key in {home.path} already: use it, or name another folder")
        signer, slot = make_sealed_signer(home, passphrase=passphrase, now=now, cost=cost, random=random)
        file = _OfficerFile(format="carnet.officer.v1", public_key=signer.public_key, slot=slot)
        home.store(OFFICER_FILE, format_canonical_json(file.model_dump(mode="json")))
    return Officer(signer)


def open_officer(home: Home, *, passphrase: str) -> Officer:
    """The officer in `home`. Raises `HomeError`, `UnlockError` or a `DataError`."""
    file = _load_file(home)
    return Officer(open_sealed_signer(home, file.slot, file.public_key, passphrase=passphrase))


def load_officer_public_key(home: Home) -> Ed25519PublicKey:
    """The public key of the officer in `home`, as the file has it. Raises `HomeError` or `VerificationError`."""
    return _load_file(home).public_key


def format_officer_key(public_key: Ed25519PublicKey) -> bytes:
    """The file that an officer is enrolled from, here and by the programs of the servers: one line of base64url."""
    return f"{public_key}\n".encode("ascii")


def parse_officer_key(data: bytes) -> Ed25519PublicKey:
    """The public key in a file of `format_officer_key`. Raises `UsageError`."""
    try:
        return OfficerUpdate.model_validate({"public_key": data.decode("ascii").strip()}).public_key
    except (UnicodeDecodeError, ValidationError) as error:
        raise UsageError(
            "an officer's public key is one line of 43 characters: ask for the file that `carnet officer init --save` "
            "writes"
        ) from error


def parse_report(data: bytes, keyservice: Server) -> Signed[RotationReport]:
    """The report of a rotation in a file, signed by `keyservice`. Raises `VerificationError`."""
    try:
        report = Signed.parse(data.decode("ascii").strip(), RotationReport)
        report.verify(Ed25519PublicKey(keyservice.key.raw))
    except (UnicodeDecodeError, ProtocolError) as error:
        raise VerificationError("this report is not signed by the key service in the card: ask for it again") from error
    if report.body.keyservice != keyservice.fingerprint():
        raise VerificationError("this report names another key service than signed it: ask its operator")
    return report


def _load_file(home: Home) -> _OfficerFile:
    try:
        return _OfficerFile.model_validate(parse_canonical_json(home.load(OFFICER_FILE)))
    except (MalformedError, ValidationError) as error:
        raise VerificationError("the officer's file was changed: take it from a backup") from error


@contextmanager
def _explaining(server: ServerClient) -> Iterator[None]:
    """What a server that does not take this key means: it says no more than that."""
    try:
        yield
    except UnauthenticatedError as error:
        program = _PROGRAMS[server.name]
        raise UnauthenticatedError(
            error.code,
            f"this key is not an officer's at the {server.name}: enrol it on that machine with "
            f"`{program} officers enrol`, or let an officer do it; if it was retired there, make a new one; if it is "
            "in force, check this machine's clock",
        ) from error
