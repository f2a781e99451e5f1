"""Sessions on a PKCS#11 token: one at a time, each logged in for one call and out again.

**Threads.** Neither a session of python-pkcs11 nor a module that was initialised as it does that may be used by two
threads at once. One lock for the whole process serialises every call, from finding the token to logging out; while
nothing is made, loaded or destroyed, nobody is logged in.

**Away and back.** Each call finds the token and opens a session anew. Where the module says anything but yes, it is
initialised again, which also closes what a failed login left open, and the call is repeated once: a token that was
away, or a module that lost its connection, is found when it is back.

**The PIN** is read from its file for each call. One that the token refused is not tried again until the file holds
another, so that a wrong one does not lock the token.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import pkcs11
from pkcs11 import Session
from pkcs11.exceptions import (
    MultipleTokensReturned,
    NoSuchToken,
    PinExpired,
    PinIncorrect,
    PinInvalid,
    PinLenRange,
    PinLocked,
    PKCS11Error,
    TokenWriteProtected,
    UserPinNotInitialized,
)

from carnet_keyservice.errors import MasterKeyError
from carnet_keyservice.sealing import Secret
from carnet_server.errors import SettingsError
from carnet_server.key_files import load_secret_line

if TYPE_CHECKING:
    from pkcs11._pkcs11 import lib as Module  # noqa: N812  a class by its name

_MUTEX: Final = threading.Lock()
_WRONG_PIN: Final = (PinIncorrect, PinInvalid, PinLenRange)
_UNUSABLE_PIN: Final = (PinExpired, PinLocked, UserPinNotInitialized)

T = TypeVar("T")


class Pkcs11Token:
    """The token labelled `label` that `module` speaks to, and whose user's PIN is in `pin_file`."""

    def __init__(self, *, module: Path, label: str, pin_file: Path) -> None:
        self._module = module
        self._label = label
        self._pin_file = pin_file
        self._wrong_pin: Secret | None = None

    def __repr__(self) -> str:
        return f"Pkcs11Token({self._label!r})"

    def in_session(self, work: Callable[[Session], T], *, may_write: bool) -> T:
        """What `work` returns from a session that is logged in; it may be called twice. Raises `MasterKeyError`."""
        with _MUTEX:
            pin = self._load_pin()
            try:
                return self._once(work, pin, may_write=may_write)
            except PKCS11Error as error:
                self._begin_anew()
                if isinstance(error, _WRONG_PIN):
                    self._wrong_pin = pin
                if isinstance(error, (*_WRONG_PIN, *_UNUSABLE_PIN)):
                    raise MasterKeyError(self._say(error)) from error
            try:
                return self._once(work, pin, may_write=may_write)
            except PKCS11Error as error:
                self._begin_anew()
                raise MasterKeyError(self._say(error)) from error

    def _once(self, work: Callable[[Session], T], pin: Secret, *, may_write: bool) -> T:
        with self._open(pin, may_write=may_write) as session:
            return work(session)

    @contextlib.contextmanager
    def _open(self, pin: Secret, *, may_write: bool) -> Iterator[Session]:
        token = self._load_module().get_token(token_label=self._label)
        session = token.open(rw=may_write, user_pin=pin.reveal().decode())
        try:
            yield session
        finally:
            # What it did stands, or its own error says more than that the session ended before.
            with contextlib.suppress(PKCS11Error):
                session.close()

    def _load_module(self) -> "Module":
        try:
            return pkcs11.lib(str(self._module))
        except PKCS11Error as error:
            raise MasterKeyError(
                "the PKCS#11 module does not load; correct pkcs11_module, or its own configuration"
            ) from error

    def _begin_anew(self) -> None:
        with contextlib.suppress(PKCS11Error, MasterKeyError):
            self._load_module().reinitialize()

    def _load_pin(self) -> Secret:
        try:
            pin = Secret(load_secret_line(self._pin_file).encode())
        except SettingsError as error:
            raise MasterKeyError(str(error)) from error
        if self._wrong_pin is not None and self._wrong_pin.is_same_as(pin):
            raise MasterKeyError(f"the PKCS#11 token refused the PIN in {self._pin_file.name}; put the right one there")
        return pin

    def _say(self, error: PKCS11Error) -> str:
        match error:
            case PinIncorrect() | PinInvalid() | PinLenRange():
                return f"the PKCS#11 token refused the PIN in {self._pin_file.name}; put the right one there"
            case PinExpired() | PinLocked() | UserPinNotInitialized():
                return "the PIN of the PKCS#11 token is locked, expired or not set; set it with the token's own tools"
            case NoSuchToken():
                return f"no PKCS#11 token is labelled {self._label!r}; connect it, or correct pkcs11_token"
            case MultipleTokensReturned():
                return f"several PKCS#11 tokens are labelled {self._label!r}; give the right one a label of its own"
            case TokenWriteProtected():
                return "the PKCS#11 token is write-protected; let it make and destroy keys"
            case _:
                return (
                    f"the PKCS#11 token failed ({type(error).__name__}); see whether it is connected and makes AES "
                    "keys, then do this again"
                )
