"""A CT study of the chest as one Enhanced CT file (PS3.3, A.38) of more than fifty megabytes.

The file is written slice by slice and never held in memory. Its type says that it is derived, not acquired.
"""

from pathlib import Path
from typing import Final

from carnet.samples.dicom import (
    ENHANCED_CT,
    DataSet,
    encode_file_head,
    encode_pixel_data_header,
    encode_trailing_padding,
    tag_of,
)
from carnet.samples.document import DocumentKind, SampleDocument, canary_text
from carnet.samples.phantom import (
    HOUNSFIELD_ZERO,
    PIXEL_MM,
    SIDE,
    SLICE_BYTES,
    SLICE_MM,
    chest_slices,
)
from carnet.samples.story import HOSPITAL, Person, Story, derive_story, derive_uuid, seeded

KIND: Final = DocumentKind("18748-4", "Diagnostic imaging study")
MEDIA_TYPE: Final = "application/dicom"
SLICE_COUNT: Final = 104

_IMAGE_TYPE: Final = ("DERIVED", "PRIMARY", "VOLUME", "NONE")
_LUNG_WINDOW: Final = (-500, 1500)


def make_ct(path: Path, *, seed: int, canary: bytes | None = None) -> SampleDocument:
    """Write the study of `seed` to `path`, with `canary` before and behind the pixels when there is one."""
    story = derive_story(seed)
    comment = canary_text(canary)
    with path.open("wb") as file:
        file.write(encode_file_head({**_study(story, seed), **_image(comment), **_frames(seed)}))
        file.write(encode_pixel_data_header(SLICE_COUNT * SLICE_BYTES))
        for pixels in chest_slices(seeded("ct", seed), SLICE_COUNT, story.nodule_mm):
            file.write(pixels)
        if canary is not None:
            file.write(encode_trailing_padding(canary))
    return SampleDocument(
        path=path,
        title="Scanner thoracique",
        kind=KIND,
        media_type=MEDIA_TYPE,
        care_date=story.admission,
        description=f"Scanner du thorax de {story.patient.name}, {SLICE_COUNT} coupes",
    )


def _uid(purpose: str, seed: int) -> str:
    """A UID made of a UUID, which needs no registered root (PS3.5, B.2)."""
    return f"2.25.{derive_uuid(purpose, seed).int}"


def _person_name(person: Person) -> str:
    return f"{person.family}^{person.given}"


def _study(story: Story, seed: int) -> DataSet:
    day, patient = f"{story.admission:%Y%m%d}", story.patient
    return {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": ENHANCED_CT,
        "SOPInstanceUID": _uid("ct/instance", seed),
        "StudyInstanceUID": _uid("ct/study", seed),
        "SeriesInstanceUID": _uid("ct/series", seed),
        "FrameOfReferenceUID": _uid("ct/frame of reference", seed),
        "PatientName": _person_name(patient),
        "PatientID": patient.number,
        "PatientBirthDate": f"{patient.born:%Y%m%d}",
        "PatientSex": "F" if patient.sex == "female" else "M",
        "StudyDate": day,
        "SeriesDate": day,
        "ContentDate": day,
        "StudyTime": "143200",
        "SeriesTime": "143500",
        "ContentTime": "143630",
        "AcquisitionDateTime": f"{day}143512",
        "StudyID": "1",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "AccessionNumber": f"{story.admission:%y%m%d}017",
        "ReferringPhysicianName": _person_name(story.cardiologist),
        "InstitutionName": HOSPITAL,
        "StudyDescription": "Scanner thoracique",
        "SeriesDescription": "Document fictif",
        "Manufacturer": "Appareil imaginaire",
        "ManufacturerModelName": "Aucun",
        "DeviceSerialNumber": "0",
        "SoftwareVersions": "0",
    }


def _image(comment: str | None) -> DataSet:
    image: DataSet = {
        "Modality": "CT",
        "ImageType": _IMAGE_TYPE,
        "PixelPresentation": "MONOCHROME",
        "VolumetricProperties": "VOLUME",
        "VolumeBasedCalculationTechnique": "NONE",
        "ContentQualification": "RESEARCH",
        "PatientPosition": "HFS",
        "PositionReferenceIndicator": "",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "NumberOfFrames": SLICE_COUNT,
        "Rows": SIDE,
        "Columns": SIDE,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "BurnedInAnnotation": "NO",
        "LossyImageCompression": "00",
        "PresentationLUTShape": "IDENTITY",
        "AcquisitionContextSequence": [],
    }
    return {**image, "ImageComments": comment} if comment else image


def _frames(seed: int) -> DataSet:
    """What all frames share, what each has of its own, and how they are ordered: as a stack from head to feet."""
    organization = _uid("ct/dimension", seed)
    chest: DataSet = {"CodeValue": "43799004", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Thoracic cavity"}
    anatomy: DataSet = {"FrameLaterality": "U", "AnatomicRegionSequence": [chest]}
    frame_type: DataSet = {
        "FrameType": _IMAGE_TYPE,
        "PixelPresentation": "MONOCHROME",
        "VolumetricProperties": "VOLUME",
        "VolumeBasedCalculationTechnique": "NONE",
    }
    values: DataSet = {"RescaleIntercept": -HOUNSFIELD_ZERO, "RescaleSlope": 1, "RescaleType": "HU"}
    center, width = _LUNG_WINDOW
    shared: DataSet = {
        "CTImageFrameTypeSequence": [frame_type],
        "IrradiationEventIdentificationSequence": [{"IrradiationEventUID": _uid("ct/event", seed)}],
        "FrameAnatomySequence": [anatomy],
        "PixelMeasuresSequence": [{"PixelSpacing": (PIXEL_MM, PIXEL_MM), "SliceThickness": SLICE_MM}],
        "PlaneOrientationSequence": [{"ImageOrientationPatient": (1, 0, 0, 0, 1, 0)}],
        "FrameVOILUTSequence": [{"WindowCenter": center, "WindowWidth": width}],
        "PixelValueTransformationSequence": [values],
    }
    dimensions: list[DataSet] = [
        {
            "DimensionOrganizationUID": organization,
            "DimensionIndexPointer": tag_of(keyword),
            "FunctionalGroupPointer": tag_of("FrameContentSequence"),
        }
        for keyword in ("StackID", "InStackPositionNumber")
    ]
    return {
        "DimensionOrganizationSequence": [{"DimensionOrganizationUID": organization}],
        "DimensionIndexSequence": dimensions,
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": [_frame(number) for number in range(SLICE_COUNT)],
    }


def _frame(number: int) -> DataSet:
    corner = -PIXEL_MM * SIDE / 2
    content: DataSet = {
        "StackID": "1",
        "InStackPositionNumber": number + 1,
        "DimensionIndexValues": (1, number + 1),
    }
    return {
        "FrameContentSequence": [content],
        "PlanePositionSequence": [{"ImagePositionPatient": (corner, corner, -SLICE_MM * number)}],
    }
