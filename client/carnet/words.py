"""Thirty-two bytes as twenty-four English words and back (BIP-39; spec `keys.md`, "Recovery words").

    >>> format_words(bytes(32))[-1]
    'art'
    >>> parse_words("abandon " * 23 + "art") == bytes(32)
    True

People copy words by hand, so reading is lenient where nothing can be mistaken: case, white space, and words cut to
their first four letters or more, which are unique in the list. The words are a secret: no error holds one, and no
error carries another error that does.
"""

import functools
from typing import Final

from mnemonic import Mnemonic

from carnet.errors import CallerError

SECRET_BYTES: Final = 32
WORD_COUNT: Final = 24
_SHORTEST_PREFIX: Final = 4


class WordsError(CallerError):
    """The text is not a set of recovery words; base of the three reasons."""


class WordCountError(WordsError):
    """There are more or fewer words than twenty-four; `count` says how many."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{WORD_COUNT} words are needed, but {count} were given: check for one left out or doubled")
        self.count = count


class UnknownWordError(WordsError):
    """The word at `position`, counted from one, is not in the list."""

    def __init__(self, position: int) -> None:
        super().__init__(f"word {position} is not in the list: compare it with number {position} on your page")
        self.position = position


class WordChecksumError(WordsError):
    """Every word is in the list, but together they do not fit: one is wrong or two have changed places."""

    def __init__(self) -> None:
        super().__init__("each word is in the list, but one is wrong or two have changed places: compare all of them")


def format_words(secret: bytes) -> tuple[str, ...]:
    """The twenty-four words for `secret`, 32 bytes."""
    if len(secret) != SECRET_BYTES:
        raise AssertionError(f"internal: words are made of {SECRET_BYTES} bytes")
    return tuple(_english().to_mnemonic(secret).split(" "))


def parse_words(text: str) -> bytes:
    """The 32 bytes that the words in `text` stand for.

    Raises `WordCountError`, `UnknownWordError` with the position of the first wrong word, or `WordChecksumError`.
    """
    written = text.split()
    if len(written) != WORD_COUNT:
        raise WordCountError(len(written))
    spellings = _spellings()
    words: list[str] = []
    for position, word in enumerate(written, start=1):
        entry = spellings.get(word.lower())
        if entry is None:
            raise UnknownWordError(position)
        words.append(entry)
    try:
        return bytes(_english().to_entropy(words))
    except ValueError:
        pass
    # Raised outside the handler, so that not even the context of this error leads to the words.
    raise WordChecksumError


@functools.cache
def _english() -> Mnemonic:
    return Mnemonic("english")


@functools.cache
def _spellings() -> dict[str, str]:
    """Every accepted spelling of every word; whole words come last, so that no longer word's prefix hides one."""
    words = _english().wordlist
    prefixes = {word[:length]: word for word in words for length in range(_SHORTEST_PREFIX, len(word))}
    return prefixes | {word: word for word in words}
