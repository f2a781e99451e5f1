"""A version's three secrets, and its context."""

import pytest

from carnet.content import CommitmentKey, ContentKey
from tests.unit.client.content.version import Version


@pytest.fixture
def version() -> Version:
    """A version of a document, with fresh keys."""
    return Version(b"carnet/test/alice/letter/1", ContentKey.make(), CommitmentKey.make())


@pytest.fixture
def other() -> Version:
    """Another version, with other keys, at another place."""
    return Version(b"carnet/test/alice/letter/2", ContentKey.make(), CommitmentKey.make())
