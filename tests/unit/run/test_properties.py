"""Properties are judged by what they find, never by how long it took."""

from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=7)
@given(st.none())
def measured(_: None) -> None: ...


def test_no_property_has_a_deadline() -> None:
    assert settings().deadline is None


def test_a_property_with_settings_of_its_own_has_none_either() -> None:
    own = measured._hypothesis_internal_use_settings  # type: ignore[attr-defined]  # hypothesis hides it from types
    assert (own.max_examples, own.deadline, own.print_blob) == (7, None, True)
