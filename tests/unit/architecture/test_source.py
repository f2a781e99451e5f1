"""The readers of the source see all of it, and complaints fail a test."""

import pytest

from tests.unit.architecture.source import PACKAGES, ROOT, modules, refuse, texts


def test_every_package_is_read() -> None:
    assert {module.package for module in modules(ROOT)} == set(PACKAGES)


def test_this_file_is_among_the_texts() -> None:
    assert "tests/unit/architecture/test_source.py" in dict(texts(ROOT))


def test_complaints_fail_a_test_and_none_do_not() -> None:
    refuse([])
    with pytest.raises(pytest.fail.Exception, match=r"x\.py:1: print"):
        refuse(["x.py:1: print"])
