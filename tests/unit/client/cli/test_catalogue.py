"""Every command of the catalogue loads, says what it does, and has the shared options."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer import Typer
from typer.main import get_command

from carnet.cli.catalogue import load_command, names
from carnet.cli.hyphens import mark
from tests.unit.client.cli.conftest import Said

WITHOUT_HOME = {"demo", "up", "version"}
LONGEST_LINE = 120


def commands() -> Iterator[tuple[str, ...]]:
    """Every command, and every command of a group."""
    for name in names():
        loaded = load_command(name)
        if isinstance(loaded, Typer):
            yield from ((name, str(inner.name)) for inner in loaded.registered_commands)
        else:
            yield (name,)


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_command_says_what_it_does(carnet: Callable[..., Said], words: tuple[str, ...]) -> None:
    said = carnet(*words, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"Usage: carnet {' '.join(words)} ")
    assert "--json" in said.out
    assert ("--home" in said.out) is (words[0] not in WITHOUT_HOME)
    assert ("--passphrase-file" in said.out) is (words[0] not in WITHOUT_HOME)
    assert "\\b" not in said.out
    assert "\x08" not in said.out


def parameters(words: tuple[str, ...]) -> list[Any]:
    """The options and arguments of a command."""
    loaded = load_command(words[0])
    if isinstance(loaded, Typer):
        group = get_command(loaded)
        explained = group.commands[words[1]] if hasattr(group, "commands") else group
    else:
        app = Typer(add_completion=False)
        app.command()(loaded)
        explained = get_command(app)
    return list(explained.params)


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_no_option_is_taken_for_an_id(words: tuple[str, ...]) -> None:
    options = [option for one in parameters(words) for option in (*one.opts, *one.secondary_opts)]
    assert "--json" in options
    assert [mark(option) for option in options] == options


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_option_and_argument_is_explained(words: tuple[str, ...]) -> None:
    for parameter in parameters(words):
        text = str(getattr(parameter, "help", ""))
        assert re.fullmatch(r"[A-Z].{5,}\.", text, re.DOTALL), (words, parameter.name, text)


def test_no_passphrase_is_ever_an_argument() -> None:
    options = [
        option
        for words in commands()
        if not isinstance(loaded := load_command(words[0]), Typer)
        for option in getattr(loaded, "__annotations__", {})
    ]
    assert "passphrase_file" in options
    assert "passphrase" not in options
    assert "words" not in options
