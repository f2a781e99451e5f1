"""The small second ciphertext."""

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from hypothesis import given, settings
from hypothesis import strategies as st

from carnet.content import (
    ContentRefusedError,
    DocumentTooLargeError,
    MetadataKey,
    RefusalReason,
    open_metadata,
    seal_metadata,
)
from carnet_protocol.ids import Sha256Digest

KEY = MetadataKey.make()
CONTEXT = b"carnet/test/metadata"
TITLE = b'{"title":"Letter"}'


def reason_of_refusal(
    ciphertext: bytes,
    *,
    digest: Sha256Digest | None = None,
    metadata_key: MetadataKey = KEY,
    context: bytes = CONTEXT,
) -> RefusalReason:
    digest = digest or Sha256Digest.of(ciphertext)
    with pytest.raises(ContentRefusedError) as caught:
        open_metadata(ciphertext, digest=digest, metadata_key=metadata_key, context=context)
    return caught.value.reason


def encrypt(padded: bytes) -> bytes:
    encryptor = Cobblestone256Encryptor(KEY.reveal(), CONTEXT)
    return encryptor.update(padded) + encryptor.finalize()


@settings(max_examples=50)
@given(metadata=st.binary(max_size=5_000))
def test_metadata_comes_back(metadata: bytes) -> None:
    ciphertext, digest = seal_metadata(metadata, metadata_key=KEY, context=CONTEXT)
    assert open_metadata(ciphertext, digest=digest, metadata_key=KEY, context=CONTEXT) == metadata


def test_metadata_is_sealed_as_specified() -> None:
    ciphertext, digest = seal_metadata(TITLE, metadata_key=KEY, context=CONTEXT)
    decryptor = Cobblestone256Decryptor(KEY.reveal(), CONTEXT)
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    assert padded == len(TITLE).to_bytes(4, "big") + TITLE + bytes(1024 - 4 - len(TITLE))
    assert digest == Sha256Digest.of(ciphertext)


@pytest.mark.parametrize(
    ("size", "ciphertext_size"), [(0, 1096), (1, 1096), (1020, 1096), (1021, 1160), (2044, 2120), (2045, 2248)]
)
def test_the_size_says_little(size: int, ciphertext_size: int) -> None:
    assert len(seal_metadata(bytes(size), metadata_key=KEY, context=CONTEXT)[0]) == ciphertext_size


def test_metadata_that_is_too_long_is_refused_before_anything_is_sealed() -> None:
    seal_metadata(bytes(60_000), metadata_key=KEY, context=CONTEXT)
    with pytest.raises(DocumentTooLargeError, match="shorten"):
        seal_metadata(bytes(65_536), metadata_key=KEY, context=CONTEXT)


def test_the_longest_metadata_opens() -> None:
    longest = 63_488 - 4
    ciphertext, digest = seal_metadata(bytes(longest), metadata_key=KEY, context=CONTEXT)
    assert len(ciphertext) <= 65_536
    assert open_metadata(ciphertext, digest=digest, metadata_key=KEY, context=CONTEXT) == bytes(longest)
    with pytest.raises(DocumentTooLargeError):
        seal_metadata(bytes(longest + 1), metadata_key=KEY, context=CONTEXT)


@given(position=st.integers(0, 1095), change=st.integers(1, 255))
def test_any_changed_byte_is_refused(position: int, change: int) -> None:
    ciphertext, digest = seal_metadata(TITLE, metadata_key=KEY, context=CONTEXT)
    changed = bytearray(ciphertext)
    changed[position] ^= change
    assert reason_of_refusal(bytes(changed), digest=digest) is RefusalReason.METADATA_DIGEST
    assert reason_of_refusal(bytes(changed)) is RefusalReason.CIPHER


@pytest.mark.parametrize("size", [0, 1, 55, 56, 71, 65_537, 1 << 20])
def test_a_length_that_metadata_never_has_is_refused_unread(size: int) -> None:
    assert reason_of_refusal(bytes(size)) is RefusalReason.SIZE


@pytest.mark.parametrize("size", [72, 1095])
def test_cut_metadata_is_refused(size: int) -> None:
    ciphertext, _ = seal_metadata(TITLE, metadata_key=KEY, context=CONTEXT)
    assert reason_of_refusal(ciphertext[:size]) is RefusalReason.CIPHER


def test_another_key_or_place_is_refused() -> None:
    ciphertext, _ = seal_metadata(TITLE, metadata_key=KEY, context=CONTEXT)
    assert reason_of_refusal(ciphertext, metadata_key=MetadataKey.make()) is RefusalReason.CIPHER
    assert reason_of_refusal(ciphertext, context=b"elsewhere") is RefusalReason.CIPHER


@pytest.mark.parametrize(
    "padded",
    [
        pytest.param(b"", id="no length"),
        pytest.param(b"\0\0\0", id="half a length"),
        pytest.param(bytes(4), id="no padding"),
        pytest.param(bytes(1023), id="padding short"),
        pytest.param(bytes(1088), id="padding long"),
        pytest.param(bytes(4) + b"\1" + bytes(1019), id="padding not zero at its start"),
        pytest.param(bytes(1023) + b"\1", id="padding not zero at its end"),
        pytest.param(b"\xff\xff\xff\xff" + bytes(1020), id="length beyond the end"),
        pytest.param((1021).to_bytes(4, "big") + bytes(1020), id="length one beyond the end"),
    ],
)
def test_another_form_inside_is_refused(padded: bytes) -> None:
    assert reason_of_refusal(encrypt(padded)) is RefusalReason.PADDING


def test_the_same_form_made_by_hand_opens() -> None:
    ciphertext = encrypt((1020).to_bytes(4, "big") + b"x" * 1020)
    opened = open_metadata(ciphertext, digest=Sha256Digest.of(ciphertext), metadata_key=KEY, context=CONTEXT)
    assert opened == b"x" * 1020
