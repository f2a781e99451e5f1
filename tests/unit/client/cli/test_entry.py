"""Words on the command line: help, slips, shared options before and after the command, errors as JSON."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from carnet.cli import entry, running
from carnet.cli.catalogue import names
from carnet.cli.entry import Stopped, split_words
from carnet.errors import UnreachableError
from tests.unit.client.cli.conftest import Said

Carnet = Callable[..., Said]


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",), ("--json",)])
def test_help_lists_every_command(carnet: Carnet, words: tuple[str, ...]) -> None:
    said = carnet(*words)
    assert (said.code, said.err) == (0, "")
    assert all(f"  {name} " in said.out for name in names())
    assert all(len(line) <= 120 for line in said.out.splitlines())


def test_help_needs_neither_rich_nor_typer_nor_the_sdk() -> None:
    program = (
        "import sys; from carnet.cli import main; code = main(['--help']);"
        "sys.exit(code or any(m.split('.')[0] in {'rich', 'typer', 'pydantic', 'cryptography', 'httpx2'} "
        "for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("words", [("help", "grant"), ("grant", "--help"), ("grant", "-h")])
def test_help_of_a_command_has_examples(carnet: Carnet, words: tuple[str, ...]) -> None:
    said = carnet(*words)
    assert said.code == 0
    assert "carnet grant doctor.json consultation" in said.out
    assert "--json" in said.out


def test_slip_is_answered_with_the_nearest_command(carnet: Carnet) -> None:
    said = carnet("grnat")
    assert (said.code, said.out) == (2, "")
    assert "did you mean grant?" in said.err.lower()


def test_unknown_command_is_an_error_in_json(carnet: Carnet) -> None:
    said = carnet("--json", "xyzzy")
    assert (said.code, said.out) == (2, "")
    assert said.error()["code"] == "usage"


@pytest.mark.parametrize(
    "words",
    [
        ("list", "--nothing"),
        ("show",),
        ("show", "a", "b", "c"),
        ("remove", "x", "--reason", "boredom"),
        ("device", "vanish"),
        ("get", "x", "--version", "0"),
    ],
)
def test_wrong_use_ends_with_two_and_names_the_help(carnet: Carnet, words: tuple[str, ...]) -> None:
    said = carnet(*words)
    assert (said.code, said.out) == (2, "")
    assert f"carnet {words[0]} --help" in said.err
    assert carnet(*words, "--json").error()["code"] == "usage"


def test_wrong_use_of_a_subcommand_names_its_own_help(carnet: Carnet) -> None:
    assert carnet("device", "approve", "x").err.endswith("See `carnet device approve --help`.\n")


def test_wrong_value_is_told_in_our_words(carnet: Carnet) -> None:
    said = carnet("remove", "x", "--reason", "boredom")
    assert "'boredom' is not one of 'misfiled', 'error', 'patient-request'" in said.err
    assert "Value error" not in said.err


@pytest.mark.parametrize("option", ["--home", "--passphrase-file"])
def test_shared_option_without_its_value_is_told(carnet: Carnet, option: str) -> None:
    said = carnet(option)
    assert (said.code, said.out) == (2, "")
    assert option in said.err


@pytest.mark.parametrize("name", ["add", "get", "show", "export"])
def test_help_shows_no_types_of_the_program(carnet: Carnet, name: str) -> None:
    assert "<" not in carnet(name, "--help").out


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "make room"), (errno.EROFS, "can be written")])
def test_machine_that_is_in_the_way_is_no_mistake_of_the_program(
    carnet: Carnet, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def fail(name: str) -> object:
        raise OSError(number, os.strerror(number), "/home/of/a/patient")

    monkeypatch.setattr(running, "load_command", fail)
    said = carnet("list", "--json")
    assert (said.code, said.error()["code"]) == (4, "home")
    assert words in said.error()["message"]
    assert "patient" not in said.error()["message"]


def test_group_without_a_word_shows_its_words(carnet: Carnet) -> None:
    said = carnet("device")
    assert said.code == 2
    assert all(word in said.err for word in ("list", "request", "approve", "join", "remove"))


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["list"], ([], "list", [])),
        (["--home", "x", "--json", "list", "--json"], (["--home", "x", "--json"], "list", ["--json"])),
        (["--home=x", "list", "a"], (["--home=x"], "list", ["a"])),
        (["--home", "list"], (["--home", "list"], None, [])),
        (["--help"], ([], "--help", [])),
        ([], ([], None, [])),
    ],
)
def test_shared_options_may_stand_before_the_command(words: list[str], parts: tuple[list[str], str, list[str]]) -> None:
    assert split_words(words) == parts


@pytest.mark.parametrize(
    "words",
    [
        ("--home", "HOME", "whoami", "--json"),
        ("whoami", "--home", "HOME", "--json"),
        ("--json", "--home", "HOME", "device", "list"),
        ("device", "list", "--json", "--home", "HOME"),
        ("--json", "registrar", "list", "--home", "HOME"),
        ("--json", "officer", "show", "--home", "HOME"),
    ],
)
def test_home_that_nobody_lives_in_is_told_before_a_passphrase_is_asked(
    carnet: Carnet, tmp_path: Path, words: tuple[str, ...]
) -> None:
    said = carnet(*(str(tmp_path) if word == "HOME" else word for word in words))
    assert (said.code, said.out) == (4, "")
    assert said.error()["code"] == "no_home"
    begin = next((f"carnet {group} init" for group in ("registrar", "officer") if group in words), "carnet init")
    assert f"begin with `{begin}`" in said.error()["message"]


def test_home_of_the_environment_is_used(carnet: Carnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARNET_HOME", str(tmp_path / "there"))
    assert str(tmp_path / "there") in carnet("whoami").err


def test_version_is_one_object(carnet: Carnet) -> None:
    said = carnet("version", "--json")
    assert said.code == 0
    assert said.json()["suites"] == [1, 2]
    assert carnet("--version").code == 0


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr(running, "load_command", fail)


def test_error_of_the_sdk_is_told_in_its_own_words(carnet: Carnet, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, UnreachableError("the vault at \x1b[2J is gone"))
    said = carnet("list")
    assert (said.code, said.err) == (3, "carnet: the vault at �[2J is gone\n")
    assert carnet("list", "--json").error() == {"code": "unreachable", "message": "the vault at \x1b[2J is gone"}


def test_mistake_of_the_program_is_told_without_values(carnet: Carnet, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, KeyError("the title of a document"))
    said = carnet("list")
    assert said.code == 70
    assert "title" not in said.err
    assert "KeyError" in said.err


def test_interruption_ends_with_130(carnet: Carnet, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    assert carnet("list").code == 130
    assert carnet("list", "--json").error()["code"] == "interrupted"


def test_order_to_stop_ends_with_143(carnet: Carnet, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, Stopped())
    assert carnet("list").code == 143


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_becomes_an_order_to_stop(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "_run", lambda _: signal.raise_signal(number))
    before = signal.getsignal(number)
    assert entry.main(["list"]) == 143
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("words", [("help",), ("version",), ("version", "--json"), ("grant", "--help")])
def test_reader_that_went_away_is_no_error_of_ours(words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "carnet.cli", *words]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(("name", "says"), [("list", "goes on where it was"), ("demo", "begins anew")])
def test_interrupt_says_what_the_same_command_will_do(
    carnet: Carnet, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    def interrupt(_: str) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "load_command", interrupt)
    said = carnet(name)
    assert (said.code, said.out) == (130, "")
    assert says in said.err
