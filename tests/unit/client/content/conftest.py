"""A version's three secrets, and its context."""

import pytest

from carnet.content import CommitmentKey, ContentKey
from tests.unit.client.content.version import SUITES, Version


@pytest.fixture(params=SUITES, ids=["1", "2", "2 over 1"])
def version(request: pytest.FixtureRequest) -> Version:
    """A version of a document, with fresh keys."""
    return Version(b"carnet/test/alice/letter/1", ContentKey.make(), CommitmentKey.make(), request.param)


@pytest.fixture
def other(version: Version) -> Version:
    """Another version, with other keys, at another place."""
    return Version(b"carnet/test/alice/letter/2", ContentKey.make(), CommitmentKey.make(), version.suites)
