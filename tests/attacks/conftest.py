"""A deployment with both real servers, a patient with documents, a laboratory, a doctor with a grant, and Mallory."""

from tests.support.story import own_story, story

__all__ = ["own_story", "story"]
