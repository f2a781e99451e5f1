"""Recovery words: both directions, lenient spelling, and errors that keep the secret."""

import json
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mnemonic import Mnemonic

from carnet.words import UnknownWordError, WordChecksumError, WordCountError, WordsError, format_words, parse_words

SHARED_VECTORS = Path(__file__).parents[4] / "shared" / "vectors" / "bip39" / "vectors.json"
ENGLISH = Mnemonic("english").wordlist
SECRETS = st.binary(min_size=32, max_size=32)

# The 256-bit vectors that BIP-39 names.
PUBLISHED = [
    ("00" * 32, "abandon " * 23 + "art"),
    (
        "7f" * 32,
        "legal winner thank year wave sausage worth useful " * 2 + "legal winner thank year wave sausage worth title",
    ),
    (
        "80" * 32,
        "letter advice cage absurd amount doctor acoustic avoid " * 2
        + "letter advice cage absurd amount doctor acoustic bless",
    ),
    ("ff" * 32, "zoo " * 23 + "vote"),
]


@pytest.mark.parametrize(("secret_hex", "words"), PUBLISHED)
def test_published_vectors_hold_both_ways(secret_hex: str, words: str) -> None:
    assert format_words(bytes.fromhex(secret_hex)) == tuple(words.split())
    assert parse_words(words) == bytes.fromhex(secret_hex)


@pytest.mark.skipif(not SHARED_VECTORS.exists(), reason="the folder of shared vectors is not beside this checkout")
def test_shared_vectors_hold_both_ways() -> None:
    vectors = [vector for vector in json.loads(SHARED_VECTORS.read_text())["english"] if len(vector[0]) == 64]
    assert len(vectors) >= 8
    for secret_hex, words, *_ in vectors:
        assert format_words(bytes.fromhex(secret_hex)) == tuple(words.split())
        assert parse_words(words) == bytes.fromhex(secret_hex)


@given(SECRETS)
def test_words_parse_back(secret: bytes) -> None:
    assert parse_words(" ".join(format_words(secret))) == secret


@given(SECRETS, st.data())
def test_case_white_space_and_prefixes_do_not_matter(secret: bytes, data: st.DataObject) -> None:
    written = ""
    for word in format_words(secret):
        length = data.draw(st.integers(min(4, len(word)), len(word)))
        written += data.draw(st.sampled_from([str.upper, str.lower, str.title]))(word[:length])
        written += data.draw(st.sampled_from([" ", "  ", "\n", "\t", "\r\n", "\u00a0"]))
    assert parse_words(written) == secret


def test_a_whole_word_wins_over_a_longer_one() -> None:
    beginnings = [word for word in ENGLISH if any(other != word and other.startswith(word) for other in ENGLISH)]
    assert "act" in beginnings
    for word in beginnings:
        bits = f"{ENGLISH.index(word):011b}" * 23 + "000"
        secret = int(bits, 2).to_bytes(32, "big")
        words = format_words(secret)
        assert words[:23] == (word,) * 23
        assert parse_words(" ".join(words)) == secret


def test_every_word_is_unique_in_four_letters() -> None:
    assert len({word[:4] for word in ENGLISH}) == len(ENGLISH) == 2048


@pytest.mark.parametrize("count", [0, 1, 12, 23, 25, 48])
def test_parse_refuses_another_number_of_words(count: int) -> None:
    with pytest.raises(WordCountError) as caught:
        parse_words("abandon " * count)
    assert caught.value.count == count


@pytest.mark.parametrize("position", [1, 2, 12, 23, 24])
@pytest.mark.parametrize(
    "wrong", ["aba", "abandonx", "xyzzy", "abandon,", "1.", "\u00e1bandon", "\uff21bandon", "able1"]
)
def test_parse_names_the_position_of_a_wrong_word(position: int, wrong: str) -> None:
    words = ["abandon"] * 23 + ["art"]
    words[position - 1] = wrong
    with pytest.raises(UnknownWordError) as caught:
        parse_words(" ".join(words))
    assert caught.value.position == position
    assert f"word {position} " in str(caught.value)


def test_parse_names_the_first_of_several_wrong_words() -> None:
    with pytest.raises(UnknownWordError) as caught:
        parse_words("abandon " * 5 + "qqqq " * 19)
    assert caught.value.position == 6


@given(SECRETS)
def test_parse_refuses_a_wrong_checksum(secret: bytes) -> None:
    words = list(format_words(secret))
    # The last word holds 3 bits of the secret and 8 of the checksum: its neighbour in the list keeps the first three.
    words[-1] = ENGLISH[ENGLISH.index(words[-1]) ^ 1]
    with pytest.raises(WordChecksumError):
        parse_words(" ".join(words))


def test_parse_refuses_two_words_that_changed_places() -> None:
    words = list(format_words(bytes(range(32))))
    words[3], words[4] = words[4], words[3]
    with pytest.raises(WordChecksumError):
        parse_words(" ".join(words))


@pytest.mark.parametrize("damage", ["unknown", "checksum", "count"])
def test_no_error_holds_a_word_of_the_secret(damage: str) -> None:
    words = list(format_words(bytes.fromhex("9f6a2878b2520799a44ef18bc7df394e7061a224d2c33cd015b157d746869863")))
    match damage:
        case "unknown":
            words[7] = "secretword"
        case "checksum":
            words[0], words[1] = words[1], words[0]
        case _:
            words.pop()
    with pytest.raises(WordsError) as caught:
        parse_words(" ".join(words))
    error: BaseException | None = caught.value
    assert error is not None
    assert error.__context__ is None
    assert error.__cause__ is None
    own_words = set(" ".join(traceback.format_exception_only(error)).split()) | {str(arg) for arg in error.args}
    assert "secretword" not in str(own_words)
    assert not own_words & (set(words) - {"word", "list", "one", "have", "two", "each", "all"})


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_format_takes_32_bytes_only(size: int) -> None:
    with pytest.raises(AssertionError, match="internal"):
        format_words(bytes(size))
