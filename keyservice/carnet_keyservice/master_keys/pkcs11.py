"""Master keys wrapped by a token behind PKCS#11: a hardware security module, or SoftHSM where one is learnt or tested.

For each version the token makes an AES-256 *wrapping key* that never leaves it (`CKA_SENSITIVE`, no `CKA_EXTRACTABLE`),
labelled `carnet-master-N`. The master key is 32 bytes of the token's generator, which the token encrypts with AES-GCM
(`CKM_AES_GCM`) for the database to keep; serving, the key service has the master key in its memory. It is encrypted as
data, and not as a key object by `C_WrapKey`: the object would have to be extractable, which many modules refuse. What
the database keeps, 96 bytes, opens nothing without that wrapping key; once it is destroyed, nothing loads the master
key again.

    token = "P11" || 1 (1) || key id (32) || nonce (12) || ciphertext (32) || tag (16)
    associated data = pack("carnet/v1/at-rest/master-key-wrap", key service, version, key id)

`CKA_ID` of the wrapping key is the key id: the first half of the key service's fingerprint, so that key services share
a token unharmed, and 16 random bytes, which tell apart the keys of two processes that made version N at once. Nonces
are random bytes of the token; a wrapping key sees a handful of them in its life. A token that insists on nonces of its
own is noticed when the fresh master key is read back.
"""

import secrets
from typing import Final, Protocol, cast

from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, MechanismFlag, ObjectClass, Session
from pkcs11.exceptions import ArgumentsBad, EncryptedDataInvalid, EncryptedDataLenRange, FunctionFailed, GeneralError
from typing_extensions import override

from carnet_keyservice.errors import MasterKeyError
from carnet_keyservice.master_keys.pkcs11_token import Pkcs11Token
from carnet_keyservice.master_keys.provider import MadeKey, MasterKeyProvider
from carnet_keyservice.sealing import MASTER_KEY_SIZE, Secret
from carnet_protocol import labels
from carnet_protocol.encoding import pack
from carnet_protocol.ids import Fingerprint

PKCS11: Final = "pkcs11"

_MAGIC: Final = b"P11\x01"
_OWNER_SIZE: Final = 16
_KEY_ID_SIZE: Final = 32
_NONCE_SIZE: Final = 12
_TAG_SIZE: Final = 16
_SIZE: Final = len(_MAGIC) + _KEY_ID_SIZE + _NONCE_SIZE + MASTER_KEY_SIZE + _TAG_SIZE
_SEALED_IN: Final = {
    Attribute.SENSITIVE: True,
    Attribute.ALWAYS_SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.NEVER_EXTRACTABLE: True,
    Attribute.LOCAL: True,
    Attribute.VALUE_LEN: MASTER_KEY_SIZE,
}
"""What the token says of a key that it made and that never could leave it."""
_DAMAGED: Final = (EncryptedDataInvalid, EncryptedDataLenRange, ArgumentsBad, FunctionFailed, GeneralError)
"""What modules say of a wrong tag; some of these words are for a failing token too."""


class _WrappingKey(Protocol):
    """What python-pkcs11 gives for an AES key, of which it composes the class when it finds it."""

    id: bytes

    def get_attributes(self, keys: list[Attribute]) -> dict[Attribute, object]:
        """The values of those `keys` that the token tells."""

    def encrypt(self, data: bytes, *, mechanism: Mechanism, mechanism_param: GCMParams) -> bytes:
        """`C_Encrypt`."""

    def decrypt(self, data: bytes, *, mechanism: Mechanism, mechanism_param: GCMParams) -> bytes:
        """`C_Decrypt`."""

    def destroy(self) -> None:
        """`C_DestroyObject`."""


class Pkcs11Provider(MasterKeyProvider):
    """Has a token wrap the master keys of `key_service`."""

    name = PKCS11
    afterwards = (
        "its wrapping key in the token was destroyed; backups and clones of the token that have it still unwrap it"
    )

    def __init__(self, token: Pkcs11Token, key_service: Fingerprint) -> None:
        self._token = token
        self._key_service = key_service

    @override
    def make(self, version: int) -> MadeKey:
        """A fresh key under the wrapping key of `version`, which is made where the token has none."""
        return self._token.in_session(lambda session: self._make(session, version), may_write=True)

    @override
    def load(self, version: int, token: bytes) -> Secret:
        """What the token unwraps."""
        if len(token) != _SIZE or not token.startswith(_MAGIC):
            raise MasterKeyError(f"what the database keeps of master key {version} is of no PKCS#11 token; restore it")
        return self._token.in_session(lambda session: self._load(session, version, token), may_write=False)

    @override
    def destroy(self, version: int, token: bytes) -> None:
        """Destroy every wrapping key of `version`, by its label; `token` is not needed for that."""
        self._token.in_session(lambda session: self._destroy(session, version), may_write=True)

    def _make(self, session: Session, version: int) -> MadeKey:
        wrapping_key = self._find_fit(session, version) or self._make_wrapping_key(session, version)
        master_key = Secret(session.generate_random(8 * MASTER_KEY_SIZE))
        nonce = session.generate_random(8 * _NONCE_SIZE)
        gcm = self._gcm(version, wrapping_key.id, nonce)
        sealed = wrapping_key.encrypt(master_key.reveal(), mechanism=Mechanism.AES_GCM, mechanism_param=gcm)
        token = _MAGIC + wrapping_key.id + nonce + sealed
        if len(token) != _SIZE or not self._load(session, version, token).is_same_as(master_key):
            raise MasterKeyError("the PKCS#11 token does not give back what it wrapped with AES-GCM; use another one")
        return MadeKey(master_key, token)

    def _load(self, session: Session, version: int, token: bytes) -> Secret:
        rest = memoryview(token)[len(_MAGIC) :]
        key_id, nonce, sealed = (
            bytes(rest[:_KEY_ID_SIZE]),
            bytes(rest[_KEY_ID_SIZE : _KEY_ID_SIZE + _NONCE_SIZE]),
            bytes(rest[_KEY_ID_SIZE + _NONCE_SIZE :]),
        )
        found = {key.id: key for key in self._find(session, version)}
        if key_id not in found:
            raise MasterKeyError(
                f"the PKCS#11 token has no {_label(version)} with the id that the database names: restore a backup of "
                "the token, or name the right one in pkcs11_token"
            )
        gcm = self._gcm(version, key_id, nonce)
        try:
            return Secret(found[key_id].decrypt(sealed, mechanism=Mechanism.AES_GCM, mechanism_param=gcm))
        except _DAMAGED as error:
            raise MasterKeyError(
                f"the PKCS#11 token does not unwrap master key {version}: what the database keeps of it was changed, "
                "or the token fails; restore the database, or see to the token"
            ) from error

    def _destroy(self, session: Session, version: int) -> None:
        for key in self._find(session, version):
            key.destroy()
        if self._find(session, version):
            raise MasterKeyError(f"the PKCS#11 token kept {_label(version)}; destroy it with the token's own tools")

    def _find(self, session: Session, version: int) -> list[_WrappingKey]:
        """The wrapping keys of `version` that are this key service's, in the order of their ids."""
        wanted = {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: KeyType.AES,
            Attribute.LABEL: _label(version),
        }
        found = cast("list[_WrappingKey]", list(session.get_objects(wanted)))
        return sorted((key for key in found if key.id.startswith(self._owner)), key=lambda key: key.id)

    def _find_fit(self, session: Session, version: int) -> _WrappingKey | None:
        """A wrapping key that a cut-off run made, if any. One that ever could leave the token wraps nothing."""
        found = self._find(session, version)
        for key in found:
            if key.get_attributes(list(_SEALED_IN)) != _SEALED_IN:
                raise MasterKeyError(
                    f"the PKCS#11 token has a {_label(version)} that can leave it, or was not made in it: find out who "
                    "put it there, and destroy it"
                )
        return found[0] if found else None

    def _make_wrapping_key(self, session: Session, version: int) -> _WrappingKey:
        made = session.generate_key(
            KeyType.AES,
            8 * MASTER_KEY_SIZE,
            id=self._owner + secrets.token_bytes(_KEY_ID_SIZE - _OWNER_SIZE),
            label=_label(version),
            store=True,
            capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
            template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
        )
        return cast("_WrappingKey", made)

    @property
    def _owner(self) -> bytes:
        return self._key_service.raw[:_OWNER_SIZE]

    def _gcm(self, version: int, key_id: bytes, nonce: bytes) -> GCMParams:
        aad = pack(labels.MASTER_KEY_WRAP, self._key_service.raw, version, key_id)
        return GCMParams(nonce, aad, 8 * _TAG_SIZE)


def _label(version: int) -> str:
    return f"carnet-master-{version}"
