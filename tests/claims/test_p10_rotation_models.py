"""P10: the models of both rotations hold in every run, and each of their broken twins is found out.

Master keys: `master.pml`. Record locks: `locks.pml`. A model is built in several sizes, since all workers, backups and
people at once are too many states. A twin has one mechanism less; the claim that it breaks shows what that was for.
"""

from pathlib import Path
from typing import Final

import pytest

from tests.support.spin import Model

FOLDER: Final = Path(__file__).parents[2] / "threat-model" / "proofs" / "rotation"
WORKERS: Final = ("master", "LOCKS=2", "WORKERS=2")
RESTORED: Final = ("master", "LOCKS=2", "WORKERS=1", "BACKUPS=1")
TWO_BACKUPS: Final = ("master", "LOCKS=1", "WORKERS=1", "BACKUPS=2")
PATIENT: Final = ("locks", "JOBS=1")
READER: Final = ("locks", "JOBS=1", "READERS=1", "LATE=0")
TWO_JOBS: Final = ("locks", "JOBS=2", "LATE=0")
VAULT_RESTORED: Final = ("locks", "JOBS=1", "BACKUPS=1", "LATE=0")

WHOLE: Final = frozenset({WORKERS, RESTORED, TWO_BACKUPS, PATIENT, READER, TWO_JOBS, VAULT_RESTORED})
"""What is searched to its end; all others end at the first error."""

Build = tuple[str, ...]
"""The name of a model, and its definitions."""


class Models:
    """Models by build, each compiled when it is first asked for."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._built: dict[Build, Model] = {}

    def build(self, build: Build) -> Model:
        """The model of `build`."""
        if build not in self._built:
            name, *definitions = build
            self._built[build] = Model(
                FOLDER / f"{name}.pml",
                self._folders.mktemp(name),
                *definitions,
                level="-O1" if build in WHOLE else "-O0",
            )
        return self._built[build]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(tmp_path_factory)


@pytest.mark.parametrize(
    ("build", "claim"),
    [
        (WORKERS, "every_lock_opens"),
        (WORKERS, "the_pointer_is_good"),
        (WORKERS, "no_key_in_use_is_destroyed"),
        (WORKERS, "every_server_has_the_key"),
        (RESTORED, "every_lock_opens"),
        (RESTORED, "the_pointer_is_good"),
        (TWO_BACKUPS, "every_lock_opens"),
        (TWO_BACKUPS, "no_key_in_use_is_destroyed"),
        (PATIENT, "every_capsule_opens"),
        (PATIENT, "the_inner_lock_stays"),
        (PATIENT, "nothing_is_stranded"),
        (TWO_JOBS, "the_inner_lock_stays"),
        (VAULT_RESTORED, "every_capsule_opens"),
    ],
)
def test_p10_holds_in_every_run_of_the_models(models: Models, build: Build, claim: str) -> None:
    assert models.build(build).count_errors(claim) == 0


@pytest.mark.parametrize(
    ("build", "claim"),
    [
        (WORKERS, "the_rotation_ends"),
        (PATIENT, "the_rotation_ends"),
        (READER, "a_reader_opens"),
    ],
)
def test_once_nothing_fails_any_more_it_ends(models: Models, build: Build, claim: str) -> None:
    assert models.build(build).count_errors_under_fairness(claim) == 0


@pytest.mark.parametrize(
    ("twin", "claim"),
    [
        ((*WORKERS, "OVERWRITE"), "every_lock_opens"),
        ((*WORKERS, "FLIP_BEFORE_CHECK"), "the_pointer_is_good"),
        ((*WORKERS, "FLIP_WITHOUT_RECOUNT"), "the_pointer_is_good"),
        ((*WORKERS, "FLIP_WITHOUT_SERVERS"), "every_server_has_the_key"),
        ((*WORKERS, "SERVE_UNCHECKED"), "every_server_has_the_key"),
        ((*WORKERS, "NEW_LOCK_UNDER_OLD"), "the_pointer_is_good"),
        ((*WORKERS, "NEW_LOCK_UNCHECKED"), "the_pointer_is_good"),
        ((*WORKERS, "DELETE_BEFORE_FLIP"), "the_pointer_is_good"),
        ((*WORKERS, "REPLACE_WITHOUT_COMPARE"), "every_lock_opens"),
        ((*RESTORED, "DELETE_LATE"), "every_lock_opens"),
        ((*WORKERS, "DESTROY_WITHOUT_COUNT"), "no_key_in_use_is_destroyed"),
        ((*RESTORED, "DESTROY_EARLY"), "no_key_in_use_is_destroyed"),
        ((*RESTORED, "MARK_WITHOUT_COMPARE"), "the_pointer_is_good"),
        ((*TWO_BACKUPS, "RESTORE_KEEPS_SINCE"), "no_key_in_use_is_destroyed"),
        ((*TWO_BACKUPS, "KEY_OVERWRITTEN"), "every_lock_opens"),
        ((*PATIENT, "LOCK_UNREAD"), "every_capsule_opens"),
        ((*PATIENT, "REMADE_UNREAD"), "the_inner_lock_stays"),
        ((*PATIENT, "SWAP_WITHOUT_COMPARE"), "the_inner_lock_stays"),
        ((*PATIENT, "MIRROR_LATE"), "nothing_is_stranded"),
        ((*PATIENT, "RETIRE_UNASKED"), "nothing_is_stranded"),
        ((*VAULT_RESTORED, "DESTROY_UNASKED"), "every_capsule_opens"),
        ((*VAULT_RESTORED, "DESTROY_EARLY"), "every_capsule_opens"),
        ((*VAULT_RESTORED, "RESTORE_UNTOLD"), "every_capsule_opens"),
    ],
)
def test_a_twin_without_one_mechanism_is_found_out(models: Models, twin: Build, claim: str) -> None:
    model = models.build(twin)
    assert model.count_errors(claim) > 0
    assert "assertion violated" in model.find_trail()


@pytest.mark.parametrize("twin", [(*WORKERS, "BAD_ROW_STAYS"), (*PATIENT, "NO_NEWER_TARGET")])
def test_a_twin_that_never_ends_is_found_out(models: Models, twin: Build) -> None:
    model = models.build(twin)
    assert model.count_errors_under_fairness("the_rotation_ends") > 0
    assert "START OF CYCLE" in model.find_trail()


@pytest.mark.parametrize(
    ("build", "way_out"),
    [
        (WORKERS, "something_is_rotated"),
        (WORKERS, "something_is_aborted"),
        (WORKERS, "a_flip_is_taken_back"),
        (WORKERS, "a_bad_row_is_written_again"),
        (WORKERS, "a_lock_is_made_in_the_grace"),
        (RESTORED, "a_backup_is_restored"),
        (PATIENT, "something_is_rotated"),
        (PATIENT, "a_patient_relocks_meanwhile"),
        (PATIENT, "a_request_comes_late"),
        (VAULT_RESTORED, "a_vault_is_restored"),
    ],
)
def test_the_models_are_not_empty(models: Models, build: Build, way_out: str) -> None:
    assert models.build((*build, "NOTES")).count_errors(way_out) > 0


def test_every_step_of_the_model_of_master_keys_is_taken(models: Models) -> None:
    assert not models.build(RESTORED).list_unreached("every_lock_opens")


def test_every_step_of_the_model_of_record_locks_is_taken(models: Models) -> None:
    """Every step is taken in one of these three sizes at least."""
    sizes = {READER: "every_capsule_opens", VAULT_RESTORED: "every_capsule_opens", PATIENT: "every_capsule_opens"}
    unreached = [models.build(size).list_unreached(claim) for size, claim in sizes.items()]
    assert not frozenset.intersection(*unreached)
