"""The whole story of `tests/support/whole_story.py`, told once for all claims that only look at what it left."""

from collections.abc import Iterator

import pytest

from tests.support.sealed import Sealed
from tests.support.story import own_story, story
from tests.support.story_keys import Keys, find_keys, find_sealed
from tests.support.whole_story import WholeStory, tell

__all__ = ["keys", "own_story", "sealed", "story", "whole"]


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeStory]:
    """The whole story, for tests that change nothing."""
    yield from tell(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="session")
def sealed(whole: WholeStory) -> dict[str, list[Sealed]]:
    """Everything sealed that the whole story left, by seal."""
    return find_sealed(whole)


@pytest.fixture(scope="session")
def keys(whole: WholeStory, sealed: dict[str, list[Sealed]]) -> Keys:
    """Every key of the whole story."""
    return find_keys(whole, sealed)
