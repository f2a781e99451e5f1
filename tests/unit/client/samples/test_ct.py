"""The CT study: pydicom reads it, its pixels are those of a chest, and it never lies in memory whole."""

import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pydicom
import pytest

from carnet.samples import make_ct
from carnet.samples.dicom import encode_data_set, tag_of
from carnet.samples.phantom import HOUNSFIELD_ZERO, PIXEL_MM, SIDE, SLICE_BYTES
from carnet.samples.story import derive_story


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a canary."""
    path = tmp_path_factory.mktemp("ct") / "chest.dcm"
    make_ct(path, seed=3, canary=b"c" * 64)
    return path


def hounsfield(pixels: bytes, slice_number: int, x: int, y: int) -> int:
    """The value at one point."""
    value = struct.unpack_from("<H", pixels, slice_number * SLICE_BYTES + 2 * (y * SIDE + x))[0]
    return int(value) - HOUNSFIELD_ZERO


def test_file_is_at_least_fifty_megabytes(study: Path) -> None:
    assert 50 * 1024 * 1024 < study.stat().st_size < 60 * 1024 * 1024


def test_pydicom_reads_every_element(study: Path) -> None:
    data_set = pydicom.dcmread(study)
    story = derive_story(3)
    assert data_set.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert data_set.SOPClassUID == pydicom.uid.EnhancedCTImageStorage
    assert data_set.PatientName == f"{story.patient.family}^{story.patient.given}"
    assert data_set.ImageType[0] == "DERIVED"
    assert data_set.NumberOfFrames == len(data_set.PerFrameFunctionalGroupsSequence) == 104
    assert len(data_set.PixelData) == data_set.NumberOfFrames * data_set.Rows * data_set.Columns * 2
    assert data_set.DataSetTrailingPadding == b"c" * 64
    assert data_set.ImageComments == "c" * 64
    for element in data_set.iterall():
        assert element.value is not None, element.keyword


def test_frames_are_a_stack_of_even_spacing(study: Path) -> None:
    data_set = pydicom.dcmread(study, stop_before_pixels=True)
    frames = data_set.PerFrameFunctionalGroupsSequence
    heights = [frame.PlanePositionSequence[0].ImagePositionPatient[2] for frame in frames]
    steps = {round(float(above) - float(below), 6) for above, below in pairwise(heights)}
    shared = data_set.SharedFunctionalGroupsSequence[0]
    assert steps == {float(shared.PixelMeasuresSequence[0].SliceThickness)}
    assert shared.PixelMeasuresSequence[0].PixelSpacing == [PIXEL_MM, PIXEL_MM]
    assert [frame.FrameContentSequence[0].InStackPositionNumber for frame in frames] == list(range(1, 105))


def test_uids_are_valid_and_differ(study: Path) -> None:
    data_set = pydicom.dcmread(study, stop_before_pixels=True)
    uids = [
        data_set.SOPInstanceUID,
        data_set.StudyInstanceUID,
        data_set.SeriesInstanceUID,
        data_set.FrameOfReferenceUID,
    ]
    assert len(set(uids)) == 4
    assert all(uid.is_valid for uid in uids)


def test_pixels_show_a_chest(study: Path) -> None:
    pixels = pydicom.dcmread(study).PixelData
    assert hounsfield(pixels, 40, 5, 5) == pytest.approx(-1000, abs=50), "air beside the patient"
    for x in (170, 345):
        lung = sorted(hounsfield(pixels, 40, x + step, 265) for step in range(-8, 9))
        assert lung[8] == pytest.approx(-870, abs=100), "lung on both sides"
    assert hounsfield(pixels, 40, 256, 350) > 250, "a vertebra"
    assert hounsfield(pixels, 100, 170, 250) == pytest.approx(98, abs=60), "the liver, on the patient's right"


def test_no_noise_leaves_the_twelve_bits(study: Path) -> None:
    pixels = pydicom.dcmread(study).PixelData
    assert max(pixels[1::2]) < 16


def test_a_study_is_made_in_bounded_memory(tmp_path: Path) -> None:
    program = f"""
import resource
from pathlib import Path
from carnet.samples import make_ct
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
make_ct(Path({str(tmp_path / "chest.dcm")!r}), seed=3)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    grown = int(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout)
    size = (tmp_path / "chest.dcm").stat().st_size
    assert grown * (1 if sys.platform == "darwin" else 1024) < size / 4


def test_a_study_without_canary_ends_with_its_pixels(tmp_path: Path) -> None:
    make_ct(tmp_path / "chest.dcm", seed=3)
    data_set = pydicom.dcmread(tmp_path / "chest.dcm")
    assert "DataSetTrailingPadding" not in data_set
    assert "ImageComments" not in data_set


def test_elements_are_written_in_the_order_of_their_tags() -> None:
    encoded = encode_data_set({"Rows": 512, "PatientName": "FICTIF^Octave", "Modality": "CT"})
    modality, name, rows = b"\x08\x00\x60\x00CS\x02\x00CT", b"PN\x0e\x00FICTIF^Octave ", b"US\x02\x00\x00\x02"
    assert encoded == b"".join([modality, b"\x10\x00\x10\x00", name, b"\x28\x00\x10\x00", rows])


def test_sequences_and_uids_are_padded_as_the_standard_says() -> None:
    encoded = encode_data_set({"DimensionOrganizationSequence": [{"DimensionOrganizationUID": "2.25.1"}]})
    assert encoded.startswith(b"\x20\x00\x21\x92SQ\x00\x00\x16\x00\x00\x00\xfe\xff\x00\xe0\x0e\x00\x00\x00")
    assert encode_data_set({"SOPInstanceUID": "2.25.12"}).endswith(b"\x08\x002.25.12\0")


def test_pointers_hold_group_and_element() -> None:
    encoded = encode_data_set({"DimensionIndexPointer": tag_of("StackID")})
    assert encoded.endswith(b"AT\x04\x00\x20\x00\x56\x90")
