"""Words that begin with a hyphen and are no options: ids in base64url often do, and files may.

A parser of options would take `-Kq3zR8` for six of them, so such a word is marked before parsing and unmarked after.
An option of this command is a hyphen and one letter, or two hyphens and several small letters, perhaps with hyphens in
between and a value behind `=`; so no option is taken for such a word.
"""

import re
from pathlib import Path
from typing import Any, Final

MARK: Final = "\x00"
_HYPHENATED: Final = re.compile(r"-[A-Za-z0-9_][A-Za-z0-9_.-]+|--(?=.$|[a-z-]*[A-Z0-9_])[A-Za-z0-9_-]+")


def mark(word: str) -> str:
    """`word`, marked if a parser would take it for options."""
    return MARK + word if _HYPHENATED.fullmatch(word) else word


def unmark(value: Any) -> Any:  # noqa: ANN401  whatever a parser made of a word
    """`value` without the mark, inside lists, mappings and paths too."""
    match value:
        case str():
            return value.replace(MARK, "")
        case Path():
            return Path(str(value).replace(MARK, ""))
        case list():
            return [unmark(entry) for entry in value]
        case dict():
            return {name: unmark(entry) for name, entry in value.items()}
        case _:
            return value
