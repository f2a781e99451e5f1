"""A person's own secrets and what is derived from them (spec `keys.md`, "Keys of a person").

recovery secret (24 words) -> root signing key, recovery slot key -> recovery commitment
account key (random, new with every identity statement) -> account KEM key, device name key, keyring keys

>>> RecoverySecret.make()
RecoverySecret(****)
"""

import hmac
import secrets
from typing import ClassVar, Final, Self

from carnet.errors import DecryptionError
from carnet.sealing import KEY_SIZE, KemPrivateKey, Random, derive_key, open_secret, seal_secret
from carnet.words import format_words, parse_words
from carnet_protocol import labels
from carnet_protocol.encoding import hash_packed, pack
from carnet_protocol.ids import Commitment, IdentityHash, StatementHash
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Recovery
from carnet_protocol.suites import Suite

_HIDDEN: Final = "****"


class Secret:
    """Secret bytes of one length. Shows nothing of itself, compares with nothing; `reveal` is the only way out."""

    SIZE: ClassVar[int] = KEY_SIZE
    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        """Hold `raw`. Raises `DecryptionError` for another length: it can only have come out of a wrong box."""
        if len(raw) != self.SIZE:
            raise DecryptionError
        self._raw = bytes(raw)

    @classmethod
    def make(cls, random: Random = secrets.token_bytes) -> Self:
        """A fresh one."""
        return cls(random(cls.SIZE))

    def reveal(self) -> bytes:
        """The secret bytes."""
        return self._raw

    def __repr__(self) -> str:
        """No secret."""
        return f"{type(self).__name__}({_HIDDEN})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        """No secret."""
        return repr(self)

    def __eq__(self, other: object) -> bool:
        """Refuse: comparing secrets leaks, and is never needed."""
        raise TypeError("internal: secrets are not compared")

    __hash__ = None  # type: ignore[assignment]  # a secret has no hash

    def __reduce__(self) -> str:
        """Refuse to be pickled."""
        raise TypeError("internal: a secret is not pickled")


class DeviceSecret(Secret):
    """What a passphrase alone is not enough without; it lies in a file of its own beside the keyring."""

    __slots__ = ()


class AccountKey(Secret):
    """The root of one device set's keyring; a new one with every identity statement."""

    __slots__ = ()

    def derive_kem_key(self, suite: Suite) -> KemPrivateKey:
        """The account KEM key, whose public half stands in the identity statement."""
        return KemPrivateKey(derive_key(self.reveal(), labels.ACCOUNT_KEM_SEED), suite)

    def derive_device_name_key(self) -> bytes:
        """The key under which device names are sealed."""
        return derive_key(self.reveal(), labels.DEVICE_NAME_KEY)

    def derive_keyring_body_key(self) -> bytes:
        """The key under which the body of the keyring file is sealed."""
        return derive_key(self.reveal(), labels.KEYRING_BODY_KEY)

    def derive_local_state_key(self) -> bytes:
        """The key under which every other file of the home folder is sealed."""
        return derive_key(self.reveal(), labels.LOCAL_STATE_KEY)


class RecoverySecret(Secret):
    """What twenty-four words on paper stand for."""

    __slots__ = ()

    @classmethod
    def from_words(cls, text: str) -> Self:
        """The secret that the words in `text` stand for. Raises `carnet.words.WordsError`."""
        return cls(parse_words(text))

    def words(self) -> tuple[str, ...]:
        """The twenty-four words, to be printed."""
        return format_words(self.reveal())

    def derive_root_signer(self) -> Signer:
        """The root signing key."""
        return Signer(derive_key(self.reveal(), labels.RECOVERY_ROOT_SEED))

    def derive_slot_key(self) -> bytes:
        """The key under which recovery statements hold the account key."""
        return derive_key(self.reveal(), labels.RECOVERY_SLOT_KEY)

    def derive_commitment(self) -> Commitment:
        """The commitment to the slot key in identity statements."""
        return Commitment(hash_packed(labels.RECOVERY_COMMITMENT, self.derive_slot_key()))


def verify_recovery_commitment(secret: RecoverySecret, commitment: Commitment) -> None:
    """Check that `secret` is the one that an identity statement commits to. Raises `DecryptionError`."""
    if not hmac.compare_digest(secret.derive_commitment().raw, commitment.raw):
        raise DecryptionError


def seal_recovery_slot(
    account_key: AccountKey,
    recovery_secret: RecoverySecret,
    *,
    identity: IdentityHash,
    statement: StatementHash,
    random: Random = secrets.token_bytes,
) -> bytes:
    """`account_key` of the identity statement `statement`, for whoever holds the recovery words."""
    context = _recovery_context(identity, statement)
    return seal_secret(recovery_secret.derive_slot_key(), account_key.reveal(), context=context, random=random)


def seal_previous_account_key(
    previous: AccountKey,
    account_key: AccountKey,
    *,
    identity: IdentityHash,
    previous_statement: StatementHash,
    random: Random = secrets.token_bytes,
) -> bytes:
    """`previous`, the account key of `previous_statement`, under the one that came after it."""
    context = _recovery_context(identity, previous_statement)
    key = derive_key(account_key.reveal(), labels.PREVIOUS_ACCOUNT_KEY)
    return seal_secret(key, previous.reveal(), context=context, random=random)


def open_recovery_slot(recovery: Recovery, recovery_secret: RecoverySecret) -> AccountKey:
    """The account key in `recovery`. Raises `DecryptionError`."""
    context = _recovery_context(recovery.identity, recovery.identity_statement)
    return AccountKey(open_secret(recovery_secret.derive_slot_key(), recovery.sealed_account_key, context=context))


def open_previous_account_key(
    sealed_previous: bytes, account_key: AccountKey, *, identity: IdentityHash, previous_statement: StatementHash
) -> AccountKey:
    """The account key of `previous_statement`, with the one after it. Raises `DecryptionError`."""
    context = _recovery_context(identity, previous_statement)
    key = derive_key(account_key.reveal(), labels.PREVIOUS_ACCOUNT_KEY)
    return AccountKey(open_secret(key, sealed_previous, context=context))


def _recovery_context(identity: IdentityHash, statement: StatementHash) -> bytes:
    return pack(labels.RECOVERY_SLOT, identity.raw, statement.raw)
