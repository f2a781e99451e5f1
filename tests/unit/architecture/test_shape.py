"""How files look: names that say something, no print, no file too long, a reason for every silenced check."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from tests.unit.architecture.source import ROOT, modules, plant, refuse, texts

NAMELESS = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc", "miscellaneous", "stuff"}
MOST_LINES = 400
# Tests of one noun, with their tables of cases, read better in one place.
MOST_TEST_LINES = 600
# A file that is longer for a reason: its path, and the reason.
LONG_FILES: dict[str, str] = {
    "tests/vectors/reader.py": "a second reader of every format, which is to be one script",
}
# Modules that speak to a person: the commands.
SPEAKING = re.compile(r"(^|/)cli(\.py$|/)")
SOURCES = {".py", ".ts", ".sh", ""}
CODES = r"[A-Z]+[0-9]+(?:,\s*[A-Z]+[0-9]+)*"
SILENCED = re.compile(
    rf"#\s*(?:(?:ruff:\s*)?noqa(?P<check>:\s*{CODES})?"
    r"|type:\s*ignore(?P<error>\[[a-z, -]+\])?"
    r"|pragma:(?P<cover>\s*no cover))"
)


def nameless_files(root: Path) -> Iterator[str]:
    """Yields each file or folder of code whose name says nothing about what is in it."""
    for path, _ in texts(root):
        pure = PurePosixPath(path)
        if pure.suffix in SOURCES - {""}:
            words = {word for part in (*pure.parent.parts, pure.stem) for word in re.split(r"[_\W]+", part.lower())}
            yield from (f"{path}: {word} says nothing" for word in sorted(words & NAMELESS))


def prints(root: Path) -> Iterator[str]:
    """Yields each print in a module that has nobody to speak to."""
    for module in modules(root):
        if SPEAKING.search(module.path):
            continue
        for node in ast.walk(module.tree):
            match node:
                case ast.Call(func=ast.Name(id="print") | ast.Attribute(value=ast.Name(id="builtins"), attr="print")):
                    yield f"{module.path}:{node.lineno}: print"
                case _:
                    pass


def long_files(root: Path) -> Iterator[str]:
    """Yields each file of code that has become two nouns, and each exception that is none any more."""
    for path, text in texts(root):
        lines = text.count("\n")
        is_source = PurePosixPath(path).suffix in SOURCES and (PurePosixPath(path).suffix or text.startswith("#!"))
        most = MOST_TEST_LINES if path.startswith("tests/") else MOST_LINES
        if is_source and (lines > most) != (path in LONG_FILES):
            yield f"{path}: {lines} lines"


def silent_exceptions(root: Path) -> Iterator[str]:
    """Yields each comment that silences a check without naming it, or without a reason there or in the line above."""
    for path, text in texts(root):
        if not path.endswith(".py"):
            continue
        above = ""
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                is_alone = token.line.strip() == token.string
                silenced = list(SILENCED.finditer(token.string))
                is_named = all(any(match.groups()) for match in silenced)
                has_reason = re.search(r"[A-Za-z]{3}", above + SILENCED.sub("", token.string))
                if silenced and not (is_named and has_reason):
                    yield f"{path}:{token.start[0]}: {token.string}"
                above = token.string if is_alone and not silenced else ""
            elif token.type == tokenize.NEWLINE:
                above = ""


def test_every_name_says_something() -> None:
    refuse(nameless_files(ROOT))


def test_only_commands_print() -> None:
    refuse(prints(ROOT))


def test_no_file_is_too_long() -> None:
    refuse(long_files(ROOT))


def test_every_silenced_check_has_a_reason() -> None:
    refuse(silent_exceptions(ROOT))


@pytest.mark.parametrize(
    "path",
    [
        "client/carnet/utils.py",
        "vault/common/x.py",
        "client/web/key_helpers.ts",
        "tests/support/misc.py",
        "x/Manager.py",
    ],
)
def test_name_that_says_nothing_is_found(checkout: Path, path: str) -> None:
    assert len(list(nameless_files(plant(checkout, path, "")))) == 1


@pytest.mark.parametrize(
    "path", ["client/carnet/utility_model.py", "threat-model/common.md", "client/carnet/commons.py"]
)
def test_other_name_is_let_be(checkout: Path, path: str) -> None:
    assert list(nameless_files(plant(checkout, path, ""))) == []


@pytest.mark.parametrize("text", ["print(1)", "import builtins\nbuiltins.print(1)", "def f(x=print('x')): ..."])
def test_print_is_found(tmp_path: Path, text: str) -> None:
    assert len(list(prints(plant(tmp_path, "client/carnet/record.py", text)))) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("client/carnet/cli.py", "print(1)"),
        ("client/carnet/cli/grant.py", "print(1)"),
        ("client/carnet/x.py", "page.print(1)"),
        ("client/carnet/x.py", "'print(1)'"),
    ],
    ids=["command", "commands", "method", "text"],
)
def test_other_speech_is_let_be(tmp_path: Path, path: str, text: str) -> None:
    assert list(prints(plant(tmp_path, path, text))) == []


@pytest.mark.parametrize(
    ("path", "text", "count"),
    [
        ("client/x.py", "pass\n" * 400, 0),
        ("client/x.py", "pass\n" * 401, 1),
        ("client/web/x.ts", ";\n" * 401, 1),
        ("run", "#!/bin/sh\n" * 401, 1),
        ("LICENSE", "word\n" * 401, 0),
        ("protocol/spec/api.md", "word\n" * 401, 0),
    ],
    ids=["at the limit", "python", "typescript", "script", "licence", "prose"],
)
def test_long_file_is_found(checkout: Path, path: str, text: str, count: int) -> None:
    assert len(list(long_files(plant(checkout, path, text)))) == count


def test_exception_for_a_file_that_is_short_again_is_found(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LONG_FILES, "client/x.py", "a table that would be worse in two")
    assert list(long_files(plant(checkout, "client/x.py", "pass\n" * 401))) == []
    assert list(long_files(plant(checkout, "client/x.py", "pass\n"))) == ["client/x.py: 1 lines"]


@pytest.mark.parametrize(
    ("comment", "is_good"),
    [
        ("# noqa", False),
        ("# noqa: S311", False),
        ("# noqa: S311,S603", False),
        ("# noqa: S311 - ", False),
        ("# noqa: S311 - seeded on purpose", True),
        ("# noqa: S311  seeded on purpose", True),
        ("# noqa because", False),
        ("# ruff: noqa: S311", False),
        ("# ruff: noqa: S311 - seeded on purpose", True),
        ("# type: ignore", False),
        ("# type: ignore[attr-defined]", False),
        ("# type: ignore[attr-defined]  # noqa: S311", False),
        ("# type: ignore[attr-defined]  # the stub lacks it", True),
        ("# pragma: no cover", False),
        ("# pragma: no cover - another system only", True),
    ],
)
def test_silenced_check_without_a_reason_is_found(checkout: Path, comment: str, is_good: bool) -> None:
    found = list(silent_exceptions(plant(checkout, "client/x.py", f"x = 1  {comment}\n")))
    assert (found == []) is is_good


def test_reason_may_stand_in_the_line_above_and_nowhere_else(checkout: Path) -> None:
    text = "# the stub lacks it\nx = 1  # noqa: S311\ny = 1  # noqa: S311\nz = 1  # a reason\nw = 1  # noqa: S311\n"
    found = list(silent_exceptions(plant(checkout, "client/x.py", text)))
    assert found == ["client/x.py:3: # noqa: S311", "client/x.py:5: # noqa: S311"]
