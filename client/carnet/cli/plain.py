r"""Strings of other people, made harmless for a terminal.

Titles, names, notes and file names come out of documents and grants that somebody else wrote. A control character in
them could move the cursor, an escape sequence recolour or answer for the user, a bidirectional override turn
"fdp.exe" into "exe.pdf". Whatever is not an ordinary printable character is shown as `�`, one for one.

    >>> plain("letter\x1b[2J\u202efdp.exe")
    'letter�[2J�fdp.exe'
"""

import unicodedata
from typing import Final

REPLACEMENT: Final = "�"
_MOST_MARKS: Final = 4
_MARKS: Final = frozenset({"Mn", "Me"})


def plain(text: str) -> str:
    """`text` on one line, of printable characters alone.

    Line ends and tabs become spaces; controls, format characters (all bidirectional ones among them), surrogates and
    unassigned ones become `�`. Of a pile of combining marks, which would cover the lines above, four stay.
    """
    return "".join(_tame(text, line_ends=" "))


def plain_lines(text: str) -> str:
    """`text` as `plain` makes it, but with its line ends kept: for comments, which have several lines."""
    return "".join(_tame(text.replace("\r\n", "\n"), line_ends="\n"))


def _tame(text: str, *, line_ends: str) -> list[str]:
    tamed: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in _MARKS else 0
        if character == "\n":
            tamed.append(line_ends)
        elif character == "\t":
            tamed.append(" ")
        elif not character.isprintable():
            tamed.append(REPLACEMENT)
        elif marks <= _MOST_MARKS:
            tamed.append(character)
    return tamed
