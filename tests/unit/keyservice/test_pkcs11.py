"""A PKCS#11 token keeps wrapping keys that never leave it, and hears a wrong PIN once. The token is SoftHSM2."""

import re
import secrets
import subprocess
import sys
import threading
from pathlib import Path

import pkcs11
import pytest
from pkcs11 import Attribute, KeyType, MechanismFlag, ObjectClass
from pkcs11.exceptions import AttributeSensitive, KeyUnextractable, PinIncorrect, PKCS11Error

from carnet_keyservice.errors import MasterKeyError
from carnet_keyservice.master_keys.pkcs11 import Pkcs11Provider
from carnet_keyservice.master_keys.pkcs11_token import Pkcs11Token
from carnet_keyservice.sealing import Secret
from carnet_protocol.ids import Fingerprint
from tests.support.people import Dice
from tests.support.softhsm import LABEL, PIN, SoftHsm, softhsm

__all__ = ["softhsm"]

KEY_SERVICE = Fingerprint(Dice("key service")(32))


def make_provider(softhsm: SoftHsm, *, label: str = LABEL, module: Path | None = None) -> Pkcs11Provider:
    token = Pkcs11Token(module=module or softhsm.module, label=label, pin_file=softhsm.pin_file)
    return Pkcs11Provider(token, KEY_SERVICE)


def wrapping_keys(session: pkcs11.Session) -> list[pkcs11.SecretKey]:
    return list(session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY}))


def labels(softhsm: SoftHsm) -> list[str]:
    with softhsm.session() as session:
        return sorted(key.label for key in wrapping_keys(session))


# Wrapping keys


def test_each_version_has_a_wrapping_key_of_its_own_labelled_for_it(softhsm: SoftHsm) -> None:
    provider = make_provider(softhsm)
    for version in (1, 2, 10, 1):
        provider.make(version)
    assert labels(softhsm) == ["carnet-master-1", "carnet-master-10", "carnet-master-2"]


def test_the_value_of_a_wrapping_key_is_refused(softhsm: SoftHsm) -> None:
    make_provider(softhsm).make(1)
    with softhsm.session() as session:
        (key,) = wrapping_keys(session)
        with pytest.raises(AttributeSensitive):
            key[Attribute.VALUE]
        assert (key.key_type, key.key_length) == (KeyType.AES, 256)
        for attribute, value in {
            Attribute.PRIVATE: True,
            Attribute.SENSITIVE: True,
            Attribute.ALWAYS_SENSITIVE: True,
            Attribute.EXTRACTABLE: False,
            Attribute.NEVER_EXTRACTABLE: True,
            Attribute.LOCAL: True,
            Attribute.WRAP: False,
            Attribute.UNWRAP: False,
        }.items():
            assert key[attribute] is value, attribute


def test_a_wrapping_key_is_not_wrapped_out_of_the_token_nor_made_extractable(softhsm: SoftHsm) -> None:
    make_provider(softhsm).make(1)
    with softhsm.session() as session:
        (key,) = wrapping_keys(session)
        thief = session.generate_key(KeyType.AES, 256, capabilities=MechanismFlag.WRAP)
        with pytest.raises(KeyUnextractable):
            thief.wrap_key(key)
        for attribute, value in ((Attribute.EXTRACTABLE, True), (Attribute.SENSITIVE, False)):
            with pytest.raises(PKCS11Error):
                key[attribute] = value


def test_nobody_sees_it_without_the_pin_and_nobody_stays_logged_in(softhsm: SoftHsm) -> None:
    make_provider(softhsm).make(1)
    token = pkcs11.lib(str(softhsm.module)).get_token(token_label=LABEL)
    session = token.open()
    try:
        assert wrapping_keys(session) == []
    finally:
        session.close()


def test_what_the_database_keeps_is_as_written(softhsm: SoftHsm) -> None:
    provider = make_provider(softhsm)
    one, two = provider.make(1), provider.make(1)
    with softhsm.session() as session:
        (key,) = wrapping_keys(session)
        assert key.id.startswith(KEY_SERVICE.raw[:16])
        assert len(key.id) == 32
        for made in (one, two):
            assert made.token.startswith(b"P11\x01" + key.id)
            assert len(made.token) == 4 + 32 + 12 + 32 + 16
    assert one.token[36:48] != two.token[36:48]


def test_a_key_labelled_for_a_version_that_can_leave_the_token_wraps_nothing(softhsm: SoftHsm) -> None:
    """Somebody put it there before the first run, to read what is wrapped under it later."""
    with softhsm.session() as session:
        session.generate_key(
            KeyType.AES,
            256,
            id=KEY_SERVICE.raw[:16] + bytes(16),
            label="carnet-master-1",
            store=True,
            template={Attribute.EXTRACTABLE: True, Attribute.SENSITIVE: False},
        )
    with pytest.raises(MasterKeyError, match="carnet-master-1 that can leave it"):
        make_provider(softhsm).make(1)
    assert labels(softhsm) == ["carnet-master-1"]


def test_a_key_that_was_brought_into_the_token_wraps_nothing(softhsm: SoftHsm) -> None:
    with softhsm.session() as session:
        session.create_object(
            {
                Attribute.CLASS: ObjectClass.SECRET_KEY,
                Attribute.KEY_TYPE: KeyType.AES,
                Attribute.VALUE: b"known to somebody".ljust(32),
                Attribute.ID: KEY_SERVICE.raw[:16] + bytes(16),
                Attribute.LABEL: "carnet-master-1",
                Attribute.TOKEN: True,
                Attribute.SENSITIVE: True,
                Attribute.EXTRACTABLE: False,
            }
        )
    with pytest.raises(MasterKeyError, match="was not made in it"):
        make_provider(softhsm).make(1)


def test_a_key_of_somebody_else_is_neither_used_nor_destroyed(softhsm: SoftHsm) -> None:
    with softhsm.session() as session:
        session.generate_key(KeyType.AES, 256, id=b"of another program", label="carnet-master-1", store=True)
    provider = make_provider(softhsm)
    provider.make(1)
    provider.destroy(1, b"")
    with softhsm.session() as session:
        assert [key.id for key in wrapping_keys(session)] == [b"of another program"]


def test_two_wrapping_keys_of_one_version_both_open_and_are_both_destroyed(
    softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes made the version at once: neither saw the other's yet."""
    provider = make_provider(softhsm)
    one = provider.make(1)
    with softhsm.session() as session, monkeypatch.context() as patch:
        # An id that comes first.
        patch.setattr(secrets, "token_bytes", bytes)
        provider._make_wrapping_key(session, 1)
    two = provider.make(1)
    assert one.token[4:36] != two.token[4:36]
    for made in (one, two):
        assert provider.load(1, made.token).is_same_as(made.key)
    provider.destroy(1, one.token)
    assert labels(softhsm) == []
    for made in (one, two):
        with pytest.raises(MasterKeyError):
            provider.load(1, made.token)


# The PIN


def test_a_wrong_pin_is_tried_once_so_that_it_locks_no_token(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = make_provider(softhsm)
    made = provider.make(1)
    tried: list[str] = []
    opened = Pkcs11Token._once

    def count(self: Pkcs11Token, *given: object, **more: object) -> object:
        tried.append("once")
        return opened(self, *given, **more)

    monkeypatch.setattr(Pkcs11Token, "_once", count)
    softhsm.pin_file.write_text("0815-of-nobody")
    for _ in range(10):
        with pytest.raises(MasterKeyError, match=r"refused the PIN in pkcs11\.pin") as failure:
            provider.load(1, made.token)
        assert "0815" not in str(failure.value)
    assert len(tried) == 1
    softhsm.pin_file.write_text(PIN)
    assert provider.load(1, made.token).is_same_as(made.key)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_pin_that_others_can_read_is_not_used(softhsm: SoftHsm, mode: int) -> None:
    softhsm.pin_file.chmod(mode)
    with pytest.raises(MasterKeyError, match=r"pkcs11\.pin can be used by others than its owner; chmod 600 it"):
        make_provider(softhsm).make(1)
    assert labels(softhsm) == []


@pytest.mark.parametrize("text", ["", "\n", "a\nb", "a\x00b", "x" * 1025, "\n4711"])
def test_a_pin_is_one_line(softhsm: SoftHsm, text: str) -> None:
    softhsm.pin_file.write_text(text)
    with pytest.raises(MasterKeyError, match=r"pkcs11\.pin does not hold one line of text"):
        make_provider(softhsm).make(1)


def test_a_pin_that_is_no_text_or_behind_a_link_is_not_used(softhsm: SoftHsm) -> None:
    softhsm.pin_file.write_bytes(b"\xff\xfe")
    with pytest.raises(MasterKeyError, match="one line of text"):
        make_provider(softhsm).make(1)
    softhsm.pin_file.rename(softhsm.folder / "elsewhere")
    with pytest.raises(MasterKeyError, match="cannot be opened"):
        make_provider(softhsm).make(1)
    softhsm.pin_file.symlink_to(softhsm.folder / "elsewhere")
    with pytest.raises(MasterKeyError, match="cannot be opened"):
        make_provider(softhsm).make(1)


def test_the_python_library_quotes_no_pin(softhsm: SoftHsm) -> None:
    token = pkcs11.lib(str(softhsm.module)).get_token(token_label=LABEL)
    with pytest.raises(PinIncorrect) as failure:
        token.open(user_pin="0815-of-nobody")
    assert "0815" not in repr(failure.value)


# What is told


def test_another_token_or_none_or_two_are_told(softhsm: SoftHsm) -> None:
    with pytest.raises(MasterKeyError, match="no PKCS#11 token is labelled 'another'; connect it, or correct"):
        make_provider(softhsm, label="another").make(1)
    softhsm.make_token("another")
    made = make_provider(softhsm).make(1)
    with pytest.raises(MasterKeyError, match=r"has no carnet-master-1 .* name the right one in pkcs11_token"):
        make_provider(softhsm, label="another").load(1, made.token)
    softhsm.make_token("another")
    softhsm.forget()
    with pytest.raises(MasterKeyError, match="several PKCS#11 tokens are labelled 'another'"):
        make_provider(softhsm, label="another").make(1)
    assert make_provider(softhsm).load(1, made.token).is_same_as(made.key)


@pytest.mark.parametrize("text", [None, b"not a library"])
def test_a_module_that_does_not_load_is_told(softhsm: SoftHsm, tmp_path: Path, text: bytes | None) -> None:
    module = tmp_path / "module.so"
    if text is not None:
        module.write_bytes(text)
    with pytest.raises(MasterKeyError, match="the PKCS#11 module does not load; correct pkcs11_module"):
        make_provider(softhsm, module=module).make(1)


def test_a_token_that_does_not_give_back_what_it_wrapped_makes_no_key(
    softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pkcs11Provider, "_load", lambda *_: Secret(bytes(32)))
    with pytest.raises(MasterKeyError, match="does not give back what it wrapped with AES-GCM; use another one"):
        make_provider(softhsm).make(1)


def test_a_token_that_takes_no_nonce_but_its_own_makes_no_key(
    softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    gcm = Pkcs11Provider._gcm
    nonces = iter([b"of the token", *[bytes(12)] * 9])
    monkeypatch.setattr(
        Pkcs11Provider, "_gcm", lambda self, version, key_id, _: gcm(self, version, key_id, next(nonces))
    )
    with pytest.raises(MasterKeyError, match="does not unwrap master key 1"):
        make_provider(softhsm).make(1)


def test_sessions_are_never_two_at_once(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[int] = []
    most: list[int] = []
    once = Pkcs11Token._once

    def watch(self: Pkcs11Token, *given: object, **more: object) -> object:
        inside.append(1)
        most.append(len(inside))
        try:
            return once(self, *given, **more)
        finally:
            inside.pop()

    monkeypatch.setattr(Pkcs11Token, "_once", watch)
    providers = [make_provider(softhsm) for _ in range(4)]
    threads = [threading.Thread(target=provider.make, args=(1,)) for provider in providers for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 12


# The library


WITHOUT = """
import sys
sys.modules["pkcs11"] = None
import carnet_keyservice.cli
from carnet_keyservice.settings import KeyServiceSettings
from carnet_keyservice.startup import make_providers
given = {"data_dir": sys.argv[1], "service_card": "c", "origin": "https://k.example"}
print([one.name for one in make_providers(KeyServiceSettings(**given))])
make_providers(KeyServiceSettings(**given, pkcs11_module="/m.so", pkcs11_token="t"))
"""


def test_nobody_without_a_token_needs_the_library(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout == "['file']\n"
    assert done.returncode == 1
    assert re.search(r"SettingsError: .*install carnet\[pkcs11\]", done.stderr)
