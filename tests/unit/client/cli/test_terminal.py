"""What a terminal gets, what a program gets, and that nobody is asked who cannot answer."""

import io
import json

import pytest
from rich.text import Text

from carnet.cli.terminal import Terminal, facts, format_json, format_size, table
from carnet.errors import UsageError


def make(*, is_json: bool = False) -> tuple[Terminal, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return Terminal(is_json=is_json, out=out, err=err), out, err


def test_result_is_one_object_or_text() -> None:
    terminal, out, err = make(is_json=True)
    terminal.show(Text("before"))
    terminal.say("by the way")
    terminal.answer({"title": "x"}, [Text("x")])
    assert (json.loads(out.getvalue()), err.getvalue()) == ({"title": "x"}, "")
    terminal, out, err = make()
    terminal.say("by the way")
    terminal.answer({"title": "x"}, [Text("x")])
    assert (out.getvalue(), err.getvalue()) == ("x\n", "by the way\n")


def test_lines_in_a_file_end_where_their_text_ends() -> None:
    terminal, out, _ = make()
    lines = table("Id", "A long heading")
    lines.add_row("x", "y")
    terminal.answer({}, [lines])
    assert out.getvalue() == "Id  A long heading\nx   y\n"


@pytest.mark.parametrize("text", ["\x1b[31m", "\x7f\x9b", "é\u202e", "\ud800", 'a"b\\', "[bold]x[/bold]", ":smile:"])
def test_json_is_one_line_of_printable_ascii(text: str) -> None:
    line = format_json({"text": text})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {"text": text}


def test_markup_and_emoji_in_strings_stay_text() -> None:
    terminal, out, _ = make()
    lines = table("Title")
    lines.add_row("[bold red]x[/] :smile:")
    terminal.answer({}, [lines, facts(("Name", "[link=http://evil]y[/link]"))])
    assert "[bold red]x[/] :smile:" in out.getvalue()
    assert "[link=http://evil]y[/link]" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_failure_is_told_on_standard_error() -> None:
    terminal, out, err = make()
    terminal.fail("refused", "no such thing\x1b[2J")
    assert (out.getvalue(), err.getvalue()) == ("", "carnet: no such thing�[2J\n")


def test_nobody_is_asked_without_a_terminal() -> None:
    terminal, _, err = make()
    with pytest.raises(UsageError, match="add --yes"):
        terminal.agrees("Sure?", is_said=False)
    assert err.getvalue() == ""


def test_no_bar_is_drawn_without_a_terminal() -> None:
    terminal, out, err = make()
    with terminal.progress("Adding", 100) as bar:
        bar.name("x")
        bar.move(50)
    with terminal.tally("Verifying") as tally:
        tally("x", 1, 2)
    assert (out.getvalue(), err.getvalue()) == ("", "")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (22_621, "22 KiB"),
        (54_539_982, "52 MiB"),
        (1 << 40, "1024.0 GiB"),
    ],
)
def test_size_is_read_by_a_person(size: int, text: str) -> None:
    assert format_size(size) == text
