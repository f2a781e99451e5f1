"""What holds for every sample: repeatable, its own per seed, its canary found, and nobody who exists."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from carnet.samples import SampleDocument, make_bundle, make_canary, make_ct, make_ecg, make_letter
from carnet.samples.document import canary_text
from carnet.samples.story import derive_story

MAKERS = [make_letter, make_bundle, make_ecg, make_ct]
CANARY = b"Canary-0123456789-abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRS"

Maker = Callable[..., SampleDocument]
each_maker = pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)


@each_maker
def test_same_seed_and_canary_give_the_same_bytes(make: Maker, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    made = make(first, seed=7, canary=CANARY)
    again = make(second, seed=7, canary=CANARY)
    assert first.read_bytes() == second.read_bytes()
    assert (made.title, made.kind, made.care_date) == (again.title, again.kind, again.care_date)


@each_maker
def test_another_seed_gives_other_bytes(make: Maker, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    make(first, seed=7)
    make(second, seed=8)
    assert first.read_bytes() != second.read_bytes()


@each_maker
def test_canary_stands_in_the_file_as_it_is(make: Maker, tmp_path: Path) -> None:
    with_canary, without = tmp_path / "with", tmp_path / "without"
    make(with_canary, seed=7, canary=CANARY)
    make(without, seed=7)
    assert with_canary.read_bytes().count(CANARY) >= 1
    assert CANARY not in without.read_bytes()


@each_maker
@pytest.mark.parametrize("canary", [b"", CANARY[:-1], CANARY + b"x", b"(" * 64, b'"' * 64, b"\\" * 64, b"\xff" * 64])
def test_a_canary_that_a_format_would_escape_is_refused(make: Maker, canary: bytes, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="internal"):
        make(tmp_path / "sample", seed=7, canary=canary)


@each_maker
def test_the_document_says_what_its_depositor_would_say(make: Maker, tmp_path: Path) -> None:
    made = make(tmp_path / "sample", seed=7)
    assert made.path == tmp_path / "sample"
    assert made.title
    assert made.title.isascii(), "a search for the title's bytes must not depend on an encoding"
    assert made.kind.code.replace("-", "").isdigit()
    assert "/" in made.media_type
    assert isinstance(made.care_date, date)
    assert derive_story(7).patient.name in made.description


def test_made_canaries_are_usable_and_differ() -> None:
    canaries = {make_canary() for _ in range(100)}
    assert len(canaries) == 100
    assert all(canary_text(canary) == canary.decode() for canary in canaries)


def test_people_are_visibly_invented() -> None:
    invented = {"FICTIF", "SPECIMEN", "EXEMPLE", "MODELE", "IMAGINAIRE", "ROMANESQUE"}
    for seed in range(50):
        story = derive_story(seed)
        assert story.patient.family in invented
        # Born abroad in a country that is not assigned; the key of the number is right nevertheless.
        assert story.patient.number[5:10] == "99999"
        assert (97 - int(story.patient.number[:13]) % 97) == int(story.patient.number[13:])
        for doctor in (story.general_practitioner, story.cardiologist):
            assert doctor.number.startswith("8997")
            assert len(doctor.number) == 11


def test_stories_differ_from_seed_to_seed() -> None:
    assert len({derive_story(seed).patient for seed in range(50)}) == 50
