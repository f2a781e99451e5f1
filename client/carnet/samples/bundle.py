"""A FHIR R4 document: the patient's prescriptions and laboratory results, as one JSON Bundle.

It holds what a reader's machine must notice: two prescriptions of one substance that run at once, one that was stopped
and must not count, and results that two laboratories measured within four days.
"""

import json
from datetime import date
from pathlib import Path
from typing import Any, Final

from carnet.samples.document import DocumentKind, SampleDocument, canary_text
from carnet.samples.story import (
    HOSPITAL,
    NOTICE,
    WARD,
    Person,
    Prescription,
    Series,
    Story,
    derive_story,
    derive_uuid,
)

KIND: Final = DocumentKind("60591-5", "Patient summary Document")
MEDIA_TYPE: Final = "application/fhir+json"

_LOINC: Final = "http://loinc.org"
_UCUM: Final = "http://unitsofmeasure.org"
_ATC: Final = "http://www.whocc.no/atc"
_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem/"
_TEST_NATIONAL_NUMBER: Final = "urn:oid:1.2.250.1.213.1.4.10"
_HEALTH_PROFESSIONAL: Final = "urn:oid:1.2.250.1.71.4.2.1"
_INTERPRETATIONS: Final = {"L": "Low", "H": "High"}

Resource = dict[str, Any]


def make_bundle(path: Path, *, seed: int, canary: bytes | None = None) -> SampleDocument:
    """Write the Bundle of `seed` to `path`, with `canary` as a comment at its beginning and end when there is one."""
    story = derive_story(seed)
    bundle = _bundle(story, _References(seed), canary_text(canary))
    path.write_bytes((json.dumps(bundle, ensure_ascii=False, indent=2) + "\n").encode("utf-8"))
    return SampleDocument(
        path=path,
        title="Ordonnances et bilans biologiques",
        kind=KIND,
        media_type=MEDIA_TYPE,
        care_date=_last_day(story),
        description=f"Prescriptions et résultats de laboratoire de {story.patient.name}, FHIR R4",
    )


class _References:
    """The addresses by which the resources of one Bundle name each other."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def urn(self, name: str) -> str:
        """The `fullUrl` of the resource called `name`."""
        return derive_uuid(f"bundle/{name}", self._seed).urn

    def to(self, name: str) -> Resource:
        """A FHIR Reference to it."""
        return {"reference": self.urn(name)}


def _bundle(story: Story, references: _References, comment: str | None) -> Resource:
    resources = _people(story) | _prescriptions(story, references) | _observations(story, references)
    if comment:
        *_, last = resources.values()
        last["note"] = [{"text": comment}]
    time = f"{_last_day(story)}T09:30:00Z"
    composition = _composition(story, references, resources, time, comment)
    return {
        "resourceType": "Bundle",
        "meta": {
            "security": [{"system": f"{_TERMINOLOGY}v3-ActReason", "code": "HTEST", "display": "test health data"}]
        },
        "identifier": {"system": "urn:ietf:rfc:3986", "value": references.urn("bundle")},
        "type": "document",
        "timestamp": time,
        "entry": [
            {"fullUrl": references.urn(name), "resource": resource}
            for name, resource in ({"composition": composition} | resources).items()
        ],
    }


def _composition(
    story: Story, references: _References, resources: dict[str, Resource], time: str, comment: str | None
) -> Resource:
    def section(title: str, code: str, display: str, kind: str) -> Resource:
        entries = [references.to(name) for name, resource in resources.items() if resource["resourceType"] == kind]
        text = f"{title} : {len(entries)}"
        return {
            "title": title,
            "code": _concept(_LOINC, code, display),
            "text": _narrative(text),
            "entry": entries,
        }

    return {
        "resourceType": "Composition",
        "language": "fr-FR",
        "text": _narrative(f"{story.patient.name}. {NOTICE}" + (f" {comment}" if comment else "")),
        "status": "final",
        "type": _concept(_LOINC, KIND.code, KIND.display),
        "subject": references.to("patient"),
        "date": time,
        "author": [references.to("laboratory")],
        "title": "Ordonnances et bilans biologiques",
        "confidentiality": "N",
        "custodian": references.to("hospital"),
        "section": [
            section("Prescriptions", "10160-0", "History of Medication use Narrative", "MedicationRequest"),
            section("Résultats", "30954-2", "Relevant diagnostic tests/laboratory data note", "Observation"),
        ],
    }


def _people(story: Story) -> dict[str, Resource]:
    patient = story.patient
    return {
        "patient": {
            "resourceType": "Patient",
            "identifier": [{"use": "official", "system": _TEST_NATIONAL_NUMBER, "value": patient.number}],
            "name": [{"use": "official", "family": patient.family, "given": [patient.given]}],
            "gender": patient.sex,
            "birthDate": patient.born.isoformat(),
            "address": [{"use": "home", "city": "Saint-Exemple", "postalCode": "99990", "country": "FR"}],
        },
        "general-practitioner": _practitioner(story.general_practitioner),
        "cardiologist": _practitioner(story.cardiologist),
        "hospital": {"resourceType": "Organization", "name": f"{HOSPITAL}, {WARD.lower()}"},
        "laboratory": {"resourceType": "Organization", "name": "Laboratoire Inventé"},
        "town-laboratory": {"resourceType": "Organization", "name": "Laboratoire de la place"},
    }


def _practitioner(person: Person) -> Resource:
    return {
        "resourceType": "Practitioner",
        "identifier": [{"system": _HEALTH_PROFESSIONAL, "value": person.number}],
        "name": [{"family": person.family, "given": [person.given], "prefix": ["Dr"]}],
    }


def _prescriptions(story: Story, references: _References) -> dict[str, Resource]:
    return {
        f"prescription-{number}": _medication_request(prescription, references)
        for number, prescription in enumerate(story.prescriptions, start=1)
    }


def _medication_request(prescription: Prescription, references: _References) -> Resource:
    period = {"start": prescription.start.isoformat(), "end": prescription.end.isoformat()}
    return {
        "resourceType": "MedicationRequest",
        "status": "stopped" if prescription.is_stopped else "active",
        "intent": "order",
        "medicationCodeableConcept": {
            "coding": [{"system": _ATC, "code": prescription.atc, "display": prescription.substance}],
            "text": prescription.french,
        },
        "subject": references.to("patient"),
        "authoredOn": prescription.start.isoformat(),
        "requester": references.to("cardiologist" if prescription.by_hospital else "general-practitioner"),
        "dosageInstruction": [
            {
                "text": prescription.instruction,
                "timing": {
                    "repeat": {
                        "boundsPeriod": period,
                        "frequency": prescription.times_a_day,
                        "period": 1,
                        "periodUnit": "d",
                    }
                },
                "doseAndRate": [
                    {
                        "doseQuantity": {
                            "value": prescription.dose,
                            "unit": prescription.dose_unit,
                            "system": _UCUM,
                            "code": prescription.dose_unit,
                        }
                    }
                ],
            }
        ],
        "dispenseRequest": {"validityPeriod": period},
    }


def _observations(story: Story, references: _References) -> dict[str, Resource]:
    """One Observation for each result, in the order of time."""
    results = sorted((day, number) for number, series in enumerate(story.series) for day, _ in series.values)
    return {
        f"observation-{number}-{day}": _observation(story.series[number], day, _measured_by(story, day), references)
        for day, number in results
    }


def _observation(series: Series, day: date, laboratory: str, references: _References) -> Resource:
    value = dict(series.values)[day]

    def quantity(amount: float) -> Resource:
        return {"value": amount, "unit": series.unit, "system": _UCUM, "code": series.ucum}

    observation: Resource = {
        "resourceType": "Observation",
        "status": "final",
        "category": [_concept(f"{_TERMINOLOGY}observation-category", "laboratory", "Laboratory")],
        "code": _concept(_LOINC, series.loinc, series.display) | {"text": series.french},
        "subject": references.to("patient"),
        "effectiveDateTime": f"{day}T05:45:00Z",
        "performer": [references.to(laboratory)],
        "valueQuantity": quantity(value),
        "referenceRange": [{"low": quantity(series.low), "high": quantity(series.high)}],
    }
    flag = series.flag(value)
    if flag:
        code = _concept(f"{_TERMINOLOGY}v3-ObservationInterpretation", flag, _INTERPRETATIONS[flag])
        observation["interpretation"] = [code]
    return observation


def _measured_by(story: Story, day: date) -> str:
    return "town-laboratory" if day == _last_day(story) else "laboratory"


def _last_day(story: Story) -> date:
    return max(day for series in story.series for day, _ in series.values)


def _concept(system: str, code: str, display: str) -> Resource:
    return {"coding": [{"system": system, "code": code, "display": display}]}


def _narrative(text: str) -> Resource:
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{text}</p></div>'}
