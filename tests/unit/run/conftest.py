"""The small project around a copy of `run` that the tests of this folder share."""

from pathlib import Path

import pytest

from tests.support.small_project import Project, make_small_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_small_project(tmp_path)
