"""The keyring file: its form, its checks, its seals (spec `keys.md`, "Keyring file").

Slots seal the account key; the body is sealed under the account key and bound to identity and version. `carnet.keyring`
says what is done with it.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from carnet.errors import DataError, DecryptionError, UsageError, VerificationError
from carnet.home import KEYRING_FILE, Home
from carnet.keys import AccountKey, RecoverySecret
from carnet.sealing import open_secret, seal_secret
from carnet.slots import PassphraseParameters, Slot
from carnet_protocol import labels
from carnet_protocol.api import PersonBundle
from carnet_protocol.encoding import format_canonical_json, pack, parse_canonical_json
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import IdentityHash, StatementHash
from carnet_protocol.limits import MAX_JSON_INTEGER
from carnet_protocol.signing import SEED_SIZE, Signer
from carnet_protocol.statements import Role
from carnet_protocol.suites import Suite
from carnet_protocol.wire import Base64Bytes, WireModel

MAX_SLOTS: Final = 16


class KeyringFile(WireModel):
    """The file as it stands on disk."""

    body: Base64Bytes
    format: Literal["carnet.keyring.v1"]
    identity: IdentityHash
    slots: Annotated[tuple[Slot, ...], Field(min_length=1, max_length=MAX_SLOTS, strict=False)]
    version: Annotated[int, Field(ge=1, le=MAX_JSON_INTEGER)]


class _HeldAccountKey(WireModel):
    key: Annotated[Base64Bytes, Field(min_length=AccountKey.SIZE, max_length=AccountKey.SIZE)]
    statement: StatementHash
    suite: Annotated[Suite, Field(strict=False)]


class _BodyFile(WireModel):
    account_keys: Annotated[tuple[_HeldAccountKey, ...], Field(min_length=1, strict=False)]
    device: StatementHash
    device_seed: Annotated[Base64Bytes, Field(min_length=SEED_SIZE, max_length=SEED_SIZE)]
    format: Literal["carnet.keyring-body.v1"]
    person: PersonBundle
    recovery: str | None
    recovery_secret: Annotated[Base64Bytes, Field(min_length=32, max_length=32)] | None
    role: Annotated[Role, Field(strict=False)]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class HeldAccountKey:
    """The account key of the identity statement `statement`."""

    statement: StatementHash
    suite: Suite
    account_key: AccountKey


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class KeyringBody:
    """What the keyring holds.

    `account_keys` are oldest first. `person` and `recovery` (a JWS, None where another device made it) are what this
    device knows that its owner published; servers may know more. `recovery_secret` is there until the recovery kit was
    printed.
    """

    role: Role
    device: StatementHash
    device_signer: Signer
    account_keys: tuple[HeldAccountKey, ...]
    recovery_secret: RecoverySecret | None
    person: PersonBundle
    recovery: str | None

    def __repr__(self) -> str:
        """No secret."""
        return f"KeyringBody({self.role}, device={self.device}, ****)"

    @property
    def account_key(self) -> AccountKey:
        """The newest account key, which the slots seal."""
        return self.account_keys[-1].account_key


def load_keyring_file(home: Home) -> KeyringFile:
    """The keyring file of `home`: canonical, its slots and their costs within their bounds, nothing opened.

    Raises `HomeError` or `VerificationError`.
    """
    try:
        file = KeyringFile.model_validate(parse_canonical_json(home.load(KEYRING_FILE)))
        for slot in file.slots:
            if isinstance(slot.parameters, PassphraseParameters):
                slot.parameters.cost()
    except (MalformedError, ValidationError, UsageError) as error:
        raise _changed() from error
    if len({slot.id for slot in file.slots}) != len(file.slots):
        raise _changed()
    return file


def _changed() -> DataError:
    return VerificationError(
        "the keyring file was changed or is of a newer Carnet: take it from a backup, or restore with the words"
    )


def store_keyring_file(
    home: Home, identity: IdentityHash, body: KeyringBody, slots: tuple[Slot, ...], *, version: int
) -> None:
    """Put a keyring in the place of the one in `home`; durable on return. Raises `HomeError`."""
    context = _body_context(identity, version)
    sealed = seal_secret(body.account_key.derive_keyring_body_key(), _format_body(body), context=context)
    file = KeyringFile(body=sealed, format="carnet.keyring.v1", identity=identity, slots=slots, version=version)
    home.store(KEYRING_FILE, format_canonical_json(file.model_dump(mode="json")))


def _body_context(identity: IdentityHash, version: int) -> bytes:
    return pack(labels.KEYRING_BODY, identity.raw, version)


def _format_body(body: KeyringBody) -> bytes:
    file = _BodyFile(
        account_keys=tuple(
            _HeldAccountKey(key=held.account_key.reveal(), statement=held.statement, suite=held.suite)
            for held in body.account_keys
        ),
        device=body.device,
        device_seed=body.device_signer.seed(),
        format="carnet.keyring-body.v1",
        person=body.person,
        recovery=body.recovery,
        recovery_secret=None if body.recovery_secret is None else body.recovery_secret.reveal(),
        role=body.role,
    )
    return format_canonical_json(file.model_dump(mode="json"))


def open_body(file: KeyringFile, account_key: AccountKey) -> KeyringBody:
    """The body of `file`, with the account key that a slot gave. Raises `DecryptionError` or `VerificationError`."""
    context = _body_context(file.identity, file.version)
    return _parse_body(open_secret(account_key.derive_keyring_body_key(), file.body, context=context), account_key)


def _parse_body(raw_body: bytes, account_key: AccountKey) -> KeyringBody:
    try:
        file = _BodyFile.model_validate(parse_canonical_json(raw_body))
    except (MalformedError, ValidationError):
        raise _changed() from None  # what pydantic reports would quote the secrets
    held = tuple(HeldAccountKey(entry.statement, entry.suite, AccountKey(entry.key)) for entry in file.account_keys)
    if held[-1].account_key.reveal() != account_key.reveal():
        raise DecryptionError
    # The same object as the one in the slot, so that a new account key can be told by identity.
    held = (*held[:-1], replace(held[-1], account_key=account_key))
    return KeyringBody(
        role=file.role,
        device=file.device,
        device_signer=Signer(file.device_seed),
        account_keys=held,
        recovery_secret=None if file.recovery_secret is None else RecoverySecret(file.recovery_secret),
        person=file.person,
        recovery=file.recovery,
    )
