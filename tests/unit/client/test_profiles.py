"""Profiles: what a kind of reader usually needs, in compartments that a new record has."""

import pytest

from carnet.errors import UsageError
from carnet.profiles import (
    DEFAULT_COMPARTMENTS,
    GENERAL,
    IMAGING,
    LABORATORY,
    MEDICATION,
    PRIVATE,
    PROFILES,
    ProfileName,
    default_compartment,
    find_profile,
)
from carnet_protocol.limits import MAX_READ_GRANT_SECONDS


@pytest.mark.parametrize("name", list(ProfileName))
def test_a_profile_fits_a_new_record_and_a_grant(name: ProfileName) -> None:
    profile = find_profile(name)
    assert profile.name is name
    assert set(profile.compartments) <= set(DEFAULT_COMPARTMENTS)
    assert 0 < profile.seconds <= MAX_READ_GRANT_SECONDS
    assert profile.words


def test_no_profile_reads_what_is_private() -> None:
    assert all(PRIVATE not in profile.compartments for profile in PROFILES.values())


@pytest.mark.parametrize("name", ["", "doctor", "EMERGENCY"])
def test_an_unknown_profile_names_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match="pharmacist"):
        find_profile(name)


@pytest.mark.parametrize(
    ("code", "compartment"),
    [
        ("11502-2", LABORATORY),
        ("18748-4", IMAGING),
        ("57833-6", MEDICATION),
        ("34108-1", GENERAL),
        ("99999-9", GENERAL),
        ("", GENERAL),
    ],
)
def test_a_kind_of_document_has_a_first_place(code: str, compartment: str) -> None:
    assert default_compartment(code) == compartment
