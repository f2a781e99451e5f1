"""Settings: read once, strict in names and values, silent about secrets, no plain HTTP off loopback."""

from pathlib import Path
from typing import Any

import pytest

from carnet_server.chassis import Rates
from carnet_server.errors import SettingsError
from carnet_server.rates import Rate
from carnet_server.settings import ServerSettings, is_loopback, load_settings

PREFIX = "CARNET_TINY_"
LOCAL: dict[str, Any] = {"data_dir": "/data", "service_card": "/data/card", "origin": "http://127.0.0.1:8001"}
PUBLIC: dict[str, Any] = LOCAL | {"origin": "https://tiny.example"}


class TinySettings(ServerSettings):
    """A server's own."""

    colour: str = "blue"


def load(
    arguments: dict[str, Any] | None = None, *, file: Path | None = None, environment: dict[str, str] | None = None
) -> TinySettings:
    return load_settings(
        TinySettings, file=file, environment=environment or {}, prefix=PREFIX, arguments=LOCAL | (arguments or {})
    )


def test_defaults_are_safe() -> None:
    settings = load()
    assert settings.listen_host == "127.0.0.1"
    assert settings.database == "sqlite:////data/database.sqlite"
    assert settings.metrics_port is None
    assert settings.trusted_proxies == ()
    assert settings.rates == Rates()


def test_arguments_go_before_environment_and_environment_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text('listen_port = 1\naddress_burst = 2\nkey_burst = 3\ncolour = "red"\n')
    settings = load(
        {"listen_port": 9, "key_burst": None},
        file=file,
        environment={f"{PREFIX}LISTEN_PORT": "8", f"{PREFIX}ADDRESS_BURST": "7", "CARNET_OTHER_COLOUR": "green"},
    )
    assert (settings.listen_port, settings.address_burst, settings.key_burst) == (9, 7, 3)
    assert settings.colour == "red"


def test_limits_of_load_come_from_the_settings() -> None:
    settings = load({"key_requests_per_second": 5, "key_burst": 6, "max_concurrent": 7})
    assert settings.rates == Rates(by_key=Rate(5, 6), max_concurrent=7)


def test_trusted_proxies_are_words_in_the_environment_and_a_list_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text('trusted_proxies = ["127.0.0.1"]\n')
    assert load(file=file).trusted_proxies == ("127.0.0.1",)
    environment = {f"{PREFIX}TRUSTED_PROXIES": "127.0.0.1, ::1"}
    assert load(environment=environment).trusted_proxies == ("127.0.0.1", "::1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"listen_prot": 1},
        {"listen_port": -1},
        {"listen_port": 65536},
        {"listen_port": "many"},
        {"log_level": "loud"},
        {"key_burst": 0},
        {"address_requests_per_second": 0},
        {"metrics_port": "x"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:8001/"},
        {"origin": "http://127.0.0.1:80"},
        {"origin": "https://tiny.example:443"},
        {"origin": "https://Tiny.example"},
        {"origin": "https://tiny.example/path"},
        {"origin": "https://user@tiny.example"},
        {"origin": "https://tiny.example:0"},
        {"origin": "ftp://tiny.example"},
    ],
    ids=str,
)
def test_a_misspelled_name_or_an_impossible_value_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        load(wrong)
    if "origin" not in wrong:
        with pytest.raises(SettingsError):
            load(environment={f"{PREFIX}{name.upper()}": str(value) for name, value in wrong.items()})


@pytest.mark.parametrize("missing", ["data_dir", "service_card", "origin"])
def test_what_has_no_default_must_be_given(missing: str) -> None:
    with pytest.raises(SettingsError, match=missing):
        load({missing: None})


@pytest.mark.parametrize(
    ("arguments", "accepted"),
    [
        ({}, True),
        ({"listen_host": "::1"}, True),
        ({"listen_host": "localhost"}, True),
        ({"listen_host": "0.0.0.0"}, False),  # noqa: S104  it is refused
        ({"listen_host": "::"}, False),
        ({"listen_host": "192.0.2.1"}, False),
        ({"listen_host": "tiny.example"}, False),
        ({"origin": "http://tiny.example"}, False),
        ({"origin": "http://192.0.2.1:8001"}, False),
        ({"origin": "http://[::1]:8001"}, True),
        ({"origin": "https://tiny.example"}, True),
        ({"origin": "https://tiny.example", "listen_host": "0.0.0.0"}, False),  # noqa: S104  an address that must be refused
        (PUBLIC | {"listen_host": "0.0.0.0", "tls_certificate": "/c", "tls_key": "/k"}, True),  # noqa: S104  an address that must be refused
        (PUBLIC | {"tls_certificate": "/c"}, False),
        (PUBLIC | {"tls_key": "/k"}, False),
    ],
    ids=str,
)
def test_plain_http_is_for_loopback_alone(arguments: dict[str, Any], accepted: bool) -> None:
    if accepted:
        load(arguments)
    else:
        with pytest.raises(SettingsError):
            load(arguments)


def test_secrets_show_as_stars_and_never_in_an_error() -> None:
    url = "postgresql+psycopg://carnet:hunter2@/carnet"
    settings = load({"database_url": url})
    assert settings.database == url
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings)
    with pytest.raises(SettingsError) as caught:
        load({"database_url": url, "listen_port": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().listen_port = 1


def test_a_file_that_is_missing_or_not_toml_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="read"):
        load(file=tmp_path / "nowhere")
    for content in (b"listen_port = ", b"\xff\xfe"):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(SettingsError, match="TOML"):
            load(file=tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_loopback_is_this_machine_and_nothing_else(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
