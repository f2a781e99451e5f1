"""Writing DICOM Part 10 files in Explicit VR Little Endian (PS3.5, PS3.10): as much as one CT study needs.

A data set is a dictionary by keyword; the table here knows tag and value representation of each. Elements are written
in the order of their tags, as the standard wants, whatever the order in the dictionary.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

Value = str | int | float | Sequence[str] | Sequence[int] | Sequence[float] | Sequence["DataSet"]
DataSet = Mapping[str, Value]

EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
ENHANCED_CT: Final = "1.2.840.10008.5.1.4.1.1.2.1"

_PREAMBLE: Final = bytes(128) + b"DICM"
_LONG_HEADERS: Final = frozenset({"OB", "OW", "SQ"})
_NUMBERS: Final = {"US": "<H", "UL": "<L", "FD": "<d", "AT": "<L"}
_META_LENGTH: Final = 0x00020000
_PIXEL_DATA: Final = 0x7FE00010
_TRAILING_PADDING: Final = 0xFFFCFFFC

_ELEMENTS: Final = {
    "TransferSyntaxUID": (0x00020010, "UI"),
    "MediaStorageSOPClassUID": (0x00020002, "UI"),
    "MediaStorageSOPInstanceUID": (0x00020003, "UI"),
    "ImplementationClassUID": (0x00020012, "UI"),
    "SpecificCharacterSet": (0x00080005, "CS"),
    "ImageType": (0x00080008, "CS"),
    "SOPClassUID": (0x00080016, "UI"),
    "SOPInstanceUID": (0x00080018, "UI"),
    "StudyDate": (0x00080020, "DA"),
    "SeriesDate": (0x00080021, "DA"),
    "ContentDate": (0x00080023, "DA"),
    "AcquisitionDateTime": (0x0008002A, "DT"),
    "StudyTime": (0x00080030, "TM"),
    "SeriesTime": (0x00080031, "TM"),
    "ContentTime": (0x00080033, "TM"),
    "AccessionNumber": (0x00080050, "SH"),
    "Modality": (0x00080060, "CS"),
    "Manufacturer": (0x00080070, "LO"),
    "InstitutionName": (0x00080080, "LO"),
    "ReferringPhysicianName": (0x00080090, "PN"),
    "CodeValue": (0x00080100, "SH"),
    "CodingSchemeDesignator": (0x00080102, "SH"),
    "CodeMeaning": (0x00080104, "LO"),
    "IrradiationEventUID": (0x00083010, "UI"),
    "StudyDescription": (0x00081030, "LO"),
    "SeriesDescription": (0x0008103E, "LO"),
    "ManufacturerModelName": (0x00081090, "LO"),
    "PixelPresentation": (0x00089205, "CS"),
    "VolumetricProperties": (0x00089206, "CS"),
    "VolumeBasedCalculationTechnique": (0x00089207, "CS"),
    "AnatomicRegionSequence": (0x00082218, "SQ"),
    "FrameType": (0x00089007, "CS"),
    "PatientName": (0x00100010, "PN"),
    "PatientID": (0x00100020, "LO"),
    "PatientBirthDate": (0x00100030, "DA"),
    "PatientSex": (0x00100040, "CS"),
    "SliceThickness": (0x00180050, "DS"),
    "DeviceSerialNumber": (0x00181000, "LO"),
    "SoftwareVersions": (0x00181020, "LO"),
    "PatientPosition": (0x00185100, "CS"),
    "ContentQualification": (0x00189004, "CS"),
    "IrradiationEventIdentificationSequence": (0x00189477, "SQ"),
    "CTImageFrameTypeSequence": (0x00189329, "SQ"),
    "StudyInstanceUID": (0x0020000D, "UI"),
    "SeriesInstanceUID": (0x0020000E, "UI"),
    "StudyID": (0x00200010, "SH"),
    "SeriesNumber": (0x00200011, "IS"),
    "InstanceNumber": (0x00200013, "IS"),
    "ImagePositionPatient": (0x00200032, "DS"),
    "ImageOrientationPatient": (0x00200037, "DS"),
    "FrameOfReferenceUID": (0x00200052, "UI"),
    "PositionReferenceIndicator": (0x00201040, "LO"),
    "ImageComments": (0x00204000, "LT"),
    "FrameLaterality": (0x00209072, "CS"),
    "FrameContentSequence": (0x00209111, "SQ"),
    "PlanePositionSequence": (0x00209113, "SQ"),
    "PlaneOrientationSequence": (0x00209116, "SQ"),
    "StackID": (0x00209056, "SH"),
    "InStackPositionNumber": (0x00209057, "UL"),
    "FrameAnatomySequence": (0x00209071, "SQ"),
    "DimensionIndexValues": (0x00209157, "UL"),
    "DimensionOrganizationUID": (0x00209164, "UI"),
    "DimensionIndexPointer": (0x00209165, "AT"),
    "FunctionalGroupPointer": (0x00209167, "AT"),
    "DimensionOrganizationSequence": (0x00209221, "SQ"),
    "DimensionIndexSequence": (0x00209222, "SQ"),
    "SamplesPerPixel": (0x00280002, "US"),
    "PhotometricInterpretation": (0x00280004, "CS"),
    "NumberOfFrames": (0x00280008, "IS"),
    "Rows": (0x00280010, "US"),
    "Columns": (0x00280011, "US"),
    "PixelSpacing": (0x00280030, "DS"),
    "BitsAllocated": (0x00280100, "US"),
    "BitsStored": (0x00280101, "US"),
    "HighBit": (0x00280102, "US"),
    "PixelRepresentation": (0x00280103, "US"),
    "BurnedInAnnotation": (0x00280301, "CS"),
    "WindowCenter": (0x00281050, "DS"),
    "WindowWidth": (0x00281051, "DS"),
    "RescaleIntercept": (0x00281052, "DS"),
    "RescaleSlope": (0x00281053, "DS"),
    "RescaleType": (0x00281054, "LO"),
    "LossyImageCompression": (0x00282110, "CS"),
    "PixelMeasuresSequence": (0x00289110, "SQ"),
    "FrameVOILUTSequence": (0x00289132, "SQ"),
    "PixelValueTransformationSequence": (0x00289145, "SQ"),
    "AcquisitionContextSequence": (0x00400555, "SQ"),
    "PresentationLUTShape": (0x20500020, "CS"),
    "SharedFunctionalGroupsSequence": (0x52009229, "SQ"),
    "PerFrameFunctionalGroupsSequence": (0x52009230, "SQ"),
}


def tag_of(keyword: str) -> int:
    """The tag of the element called `keyword`, as pointers hold it: element number above group number."""
    tag = _ELEMENTS[keyword][0]
    return (tag & 0xFFFF) << 16 | tag >> 16


def encode_file_head(data_set: DataSet) -> bytes:
    """Preamble, file meta information and `data_set`: everything that stands before the pixel data."""
    meta = encode_data_set(
        {
            "MediaStorageSOPClassUID": data_set["SOPClassUID"],
            "MediaStorageSOPInstanceUID": data_set["SOPInstanceUID"],
            "TransferSyntaxUID": EXPLICIT_LITTLE_ENDIAN,
            "ImplementationClassUID": data_set["SOPInstanceUID"],
        }
    )
    version = _element(0x00020001, "OB", b"\0\1")
    length = _element(_META_LENGTH, "UL", struct.pack("<L", len(version) + len(meta)))
    return _PREAMBLE + length + version + meta + encode_data_set(data_set)


def encode_pixel_data_header(size_bytes: int) -> bytes:
    """The header of the pixel data element, which `size_bytes` of pixels follow."""
    return struct.pack("<HH2sHL", _PIXEL_DATA >> 16, _PIXEL_DATA & 0xFFFF, b"OW", 0, size_bytes)


def encode_trailing_padding(content: bytes) -> bytes:
    """The element that may end a data set and that readers skip."""
    return _element(_TRAILING_PADDING, "OB", content)


def encode_data_set(data_set: DataSet) -> bytes:
    """The elements of `data_set` in the order of their tags."""
    elements = sorted((*_ELEMENTS[keyword], value) for keyword, value in data_set.items())
    return b"".join(
        _element(tag, representation, _encode(representation, value)) for tag, representation, value in elements
    )


def _element(tag: int, representation: str, content: bytes) -> bytes:
    """`group || number || VR || length || content`; some representations have a longer length."""
    length = struct.pack("<HL", 0, len(content)) if representation in _LONG_HEADERS else struct.pack("<H", len(content))
    return struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, representation.encode("ascii")) + length + content


def _encode(representation: str, value: Value) -> bytes:
    values = (value,) if isinstance(value, str | int | float) else value
    if representation == "SQ":
        items = [encode_data_set(item) for item in values if isinstance(item, Mapping)]
        return b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)
    if representation in _NUMBERS:
        return b"".join(struct.pack(_NUMBERS[representation], item) for item in values)
    text = "\\".join(f"{item:.10g}" if isinstance(item, float) else str(item) for item in values).encode("utf-8")
    return text + (b"\0" if representation == "UI" else b" ") * (len(text) % 2)
