"""The two locks around a content or metadata key (spec `keys.md`, "The two locks").

The inner lock is for a compartment or a single grantee, the outer one for the key service, which alone takes it off.
Both bind the whole wrap tuple, so a capsule moved to another document, version, role, compartment or lock opens
nowhere.
"""

from carnet.errors import DecryptionError
from carnet.sealing import KEY_SIZE, KemPrivateKey, open_box, seal_box
from carnet_protocol.api import Capsule
from carnet_protocol.api.capsules import CompartmentRecipient, PersonalRecipient
from carnet_protocol.errors import MalformedError, UnsupportedSuiteError
from carnet_protocol.statements import Lock, Signed
from carnet_protocol.tuples import CompartmentLock, PersonalLock, WrapTuple


def seal_inner(content_key: bytes, wrap: WrapTuple, *, recipient_public_key: bytes) -> bytes:
    """The patient's lock around a 32-byte content or metadata key."""
    if len(content_key) != KEY_SIZE:
        raise AssertionError("internal: a content key has 32 bytes")
    return seal_box(
        wrap.inner_kind(),
        content_key,
        suite=wrap.inner_suite,
        public_key=recipient_public_key,
        info=wrap.inner_info(),
    )


def seal_outer(inner: bytes, wrap: WrapTuple, *, lock: Signed[Lock]) -> bytes:
    """The time lock around `inner`: a capsule. `lock` is the statement that `wrap` names, verified by the caller."""
    if wrap.lock_statement != lock.hash or wrap.outer_suite != lock.body.suite:
        raise AssertionError("internal: a wrap tuple that names another lock")
    return seal_box(
        wrap.outer_kind(),
        inner,
        suite=wrap.outer_suite,
        public_key=lock.body.lock_key,
        info=wrap.outer_info(),
    )


def seal_capsule(content_key: bytes, wrap: WrapTuple, *, recipient_public_key: bytes, lock: Signed[Lock]) -> Capsule:
    """`content_key` in both locks, with its coordinates."""
    inner = seal_inner(content_key, wrap, recipient_public_key=recipient_public_key)
    return make_capsule(seal_outer(inner, wrap, lock=lock), wrap)


def make_capsule(sealed: bytes, wrap: WrapTuple) -> Capsule:
    """The capsule `sealed` with the coordinates of `wrap`, as the vault keeps it."""
    compartment: CompartmentRecipient | None = None
    personal: PersonalRecipient | None = None
    match wrap.recipient:
        case CompartmentLock(name, statement):
            compartment = CompartmentRecipient(compartment=name, compartment_statement=statement)
        case PersonalLock(grant, grantee, grantee_statement):
            personal = PersonalRecipient(grant=grant, grantee=grantee, grantee_statement=grantee_statement)
    return Capsule(
        document=wrap.identity.document,
        version=wrap.identity.version,
        role=wrap.role,
        compartment=compartment,
        personal=personal,
        lock_statement=wrap.lock_statement,
        inner_suite=wrap.inner_suite,
        outer_suite=wrap.outer_suite,
        sealed=sealed,
    )


def open_inner(inner: bytes, wrap: WrapTuple, *, private_key: KemPrivateKey) -> bytes:
    """The 32-byte key in `inner`, which the key service released. Raises `DecryptionError`, whatever is wrong."""
    if private_key.suite is not wrap.inner_suite:
        raise DecryptionError
    try:
        return open_box(
            wrap.inner_kind(), inner, plaintext_size=KEY_SIZE, private_key=private_key, info=wrap.inner_info()
        )
    except (MalformedError, UnsupportedSuiteError):
        raise DecryptionError from None
