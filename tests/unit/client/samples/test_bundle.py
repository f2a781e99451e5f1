"""The FHIR Bundle: well-formed, every reference answered, and the overlaps that a reader must notice."""

import json
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from carnet.samples import make_bundle
from carnet.samples.story import derive_story

Resource = dict[str, Any]
SEEDS = range(8)


@pytest.fixture(params=SEEDS)
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Resource:
    """A Bundle, read back."""
    make_bundle(tmp_path / "bundle.json", seed=request.param)
    return dict(json.loads((tmp_path / "bundle.json").read_text("utf-8")))


def resources(bundle: Resource, kind: str) -> list[Resource]:
    """The resources of one `kind`."""
    found = [entry["resource"] for entry in bundle["entry"]]
    return [resource for resource in found if resource["resourceType"] == kind]


def references(value: object) -> set[str]:
    """Every reference in `value`, at any depth."""
    if isinstance(value, dict):
        own = {value["reference"]} if "reference" in value else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def period(request: Resource) -> tuple[date, date]:
    """First and last day on which a prescription may be dispensed."""
    validity = request["dispenseRequest"]["validityPeriod"]
    return date.fromisoformat(validity["start"]), date.fromisoformat(validity["end"])


def test_bundle_is_a_document(bundle: Resource) -> None:
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "document")
    assert bundle["entry"][0]["resource"]["resourceType"] == "Composition"
    assert bundle["identifier"]["value"].startswith("urn:uuid:")
    assert bundle["timestamp"].endswith("Z")
    assert bundle["meta"]["security"][0]["code"] == "HTEST"


def test_every_reference_is_answered_within(bundle: Resource) -> None:
    urls = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(set(urls)) == len(urls)
    assert references(bundle) == set(urls) - {urls[0]}, "all are named, and the composition by none"


def test_two_prescriptions_of_one_substance_overlap(bundle: Resource) -> None:
    by_code = defaultdict(list)
    for request in resources(bundle, "MedicationRequest"):
        if request["status"] == "active":
            by_code[request["medicationCodeableConcept"]["coding"][0]["code"]].append(request)
    overlapping = {code: found for code, found in by_code.items() if len(found) > 1}
    assert list(overlapping) == ["C07AB07"]
    first, second = overlapping["C07AB07"]
    assert max(period(first)[0], period(second)[0]) < min(period(first)[1], period(second)[1])
    assert first["requester"] != second["requester"]


def test_a_stopped_prescription_is_there_to_be_left_out(bundle: Resource) -> None:
    stopped = [request for request in resources(bundle, "MedicationRequest") if request["status"] == "stopped"]
    assert [request["medicationCodeableConcept"]["text"] for request in stopped] == ["Metformine 1000 mg"]


def test_results_run_over_several_dates(bundle: Resource) -> None:
    days = defaultdict(set)
    for observation in resources(bundle, "Observation"):
        days[observation["code"]["coding"][0]["code"]].add(observation["effectiveDateTime"][:10])
    assert {code: len(found) for code, found in days.items()} == {
        "4548-4": 3,
        "14682-9": 6,
        "2823-3": 6,
        "718-7": 3,
        "789-8": 3,
        "4544-3": 3,
        "6690-2": 3,
        "777-3": 3,
    }


def test_an_examination_was_repeated_for_nothing(bundle: Resource) -> None:
    creatinine = [o for o in resources(bundle, "Observation") if o["code"]["coding"][0]["code"] == "14682-9"]
    before, last = sorted(creatinine, key=lambda observation: str(observation["effectiveDateTime"]))[-2:]
    gap = date.fromisoformat(last["effectiveDateTime"][:10]) - date.fromisoformat(before["effectiveDateTime"][:10])
    assert gap == timedelta(days=4)
    assert last["performer"] != before["performer"]


def test_flags_agree_with_the_reference_range(bundle: Resource) -> None:
    flagged = 0
    for observation in resources(bundle, "Observation"):
        value, limits = observation["valueQuantity"]["value"], observation["referenceRange"][0]
        expected = "L" if value < limits["low"]["value"] else "H" if value > limits["high"]["value"] else None
        given = observation.get("interpretation", [{"coding": [{"code": None}]}])[0]["coding"][0]["code"]
        assert given == expected
        flagged += given is not None
    assert flagged >= 4


@pytest.mark.parametrize("seed", SEEDS)
def test_values_lie_where_a_body_can_have_them(seed: int) -> None:
    believable = {"Créatinine": (80, 170), "Potassium": (3.5, 5.8), "Plaquettes": (200, 350), "Leucocytes": (5, 15)}
    for series in derive_story(seed).series:
        low, high = believable.get(series.french, (series.low * 0.9, series.high * 1.5))
        assert all(low <= value <= high for _, value in series.values), series.french
