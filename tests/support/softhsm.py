"""A real PKCS#11 token for tests: SoftHSM2 from Debian, a folder of tokens for each test.

It keeps its keys in files, and is otherwise what an HSM is to a program. What it does not prove: that other modules
know AES-GCM, keep wrapped keys from their operators, or survive a power cut. Where it is not installed the tests that
ask for it skip with the command that mends it; in CI that is an error.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pkcs11
import pytest

from tests.support.counts import is_ci

DEBIAN_PACKAGE: Final = "softhsm2"
LABEL: Final = "carnet"
PIN: Final = "4711-of-nobody"
CONFIGURATION: Final = "SOFTHSM2_CONF"
_MODULES: Final = (Path("/usr/lib/softhsm/libsofthsm2.so"), Path("/usr/lib64/pkcs11/libsofthsm2.so"))


@dataclass(frozen=True, slots=True)
class SoftHsm:
    """One token in `folder`, for this process and those it starts."""

    module: Path
    folder: Path

    @property
    def pin_file(self) -> Path:
        """The file of the PIN."""
        return self.folder / "pkcs11.pin"

    def make_token(self, label: str) -> None:
        """Another token in the same folder."""
        words = ("--init-token", "--free", "--label", label, "--so-pin", "12345678", "--pin", PIN)
        done = subprocess.run(["softhsm2-util", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def take_away(self) -> None:
        """Pull the tokens out."""
        (self.folder / "tokens").rename(self.folder / "away")
        (self.folder / "tokens").mkdir()

    def bring_back(self) -> None:
        """Put them in again."""
        (self.folder / "tokens").rmdir()
        (self.folder / "away").rename(self.folder / "tokens")

    def forget(self) -> None:
        """Let this process look at the tokens anew, as one that starts."""
        with contextlib.suppress(pkcs11.PKCS11Error):
            pkcs11.lib(str(self.module)).finalize()

    def settings(self) -> str:
        """Lines for the settings of a key service."""
        return "\n".join(
            [
                'master_key_provider = "pkcs11"',
                f'pkcs11_module = "{self.module}"',
                f'pkcs11_token = "{LABEL}"',
                f'pkcs11_pin_file = "{self.pin_file}"',
            ]
        )

    @contextlib.contextmanager
    def session(self) -> Iterator[pkcs11.Session]:
        """A session of the token's user, to look for oneself."""
        token = pkcs11.lib(str(self.module)).get_token(token_label=LABEL)
        with token.open(rw=True, user_pin=PIN) as session:
            yield session


def find_module() -> Path | None:
    """The module, if both it and its tool are installed."""
    found = [path for path in _MODULES if path.exists()]
    return found[0] if found and shutil.which("softhsm2-util") else None


def require_module() -> Path:
    """The module; skips the test with the command that mends it, and in CI fails it."""
    module = find_module()
    if module is None:
        reason = f"SoftHSM2 is not installed; on Debian: apt-get install {DEBIAN_PACKAGE}"
        if is_ci():
            pytest.fail(reason)
        pytest.skip(reason)
    return module


@contextlib.contextmanager
def fresh_token(folder: Path) -> Iterator[SoftHsm]:
    """A token in the empty `folder`, which this process and its children find until the end of the `with` block."""
    module = require_module()
    configuration = folder / "softhsm2.conf"
    (folder / "tokens").mkdir()
    configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\nslots.removable = true\n")
    before = os.environ.get(CONFIGURATION)
    os.environ[CONFIGURATION] = str(configuration)
    made = SoftHsm(module, folder)
    made.pin_file.touch(mode=0o600)
    made.pin_file.write_text(f"{PIN}\n")
    made.make_token(LABEL)
    try:
        # What an earlier test initialised has another folder.
        made.forget()
        yield made
    finally:
        made.forget()
        if before is None:
            del os.environ[CONFIGURATION]
        else:
            os.environ[CONFIGURATION] = before


@pytest.fixture
def softhsm(tmp_path: Path) -> Iterator[SoftHsm]:
    """A token of this test alone."""
    folder = tmp_path / "softhsm"
    folder.mkdir()
    with fresh_token(folder) as made:
        yield made
