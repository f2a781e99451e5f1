"""Both servers per test, for the client's modules to talk to; passphrases that cost nothing."""

import hashlib
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from carnet import slots
from carnet.sealing import PassphraseCost
from carnet_protocol.suites import WRITE_SUITE, Suite
from tests.support.client import ClientWorld


@pytest.fixture(scope="module", autouse=True)
def quick_passphrases() -> Iterator[None]:
    """One hash in place of Argon2id, whose cost is the point elsewhere: `test_slots` and `test_sealing` pay it.

    For a module, not for the session: the folders that come after in the same process pay it too.
    """

    def stretch(passphrase: str, *, salt: bytes, cost: PassphraseCost) -> bytes:
        text = unicodedata.normalize("NFC", passphrase).encode("utf-8")
        return hashlib.sha256(salt + repr(cost).encode() + text).digest()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slots, "stretch_passphrase", stretch)
        yield


@pytest.fixture
def suite() -> Suite:
    """The suite that the deployment writes; whole stories ask for the others."""
    return WRITE_SUITE


@pytest.fixture
def world(tmp_path: Path, suite: Suite) -> Iterator[ClientWorld]:
    """A deployment with both servers running."""
    world = ClientWorld.make(tmp_path, suite=suite)
    world.start()
    yield world
    world.stop()
