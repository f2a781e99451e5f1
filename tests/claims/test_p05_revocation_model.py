"""P05: the model of revocation against release holds in every run, and its broken twin does not."""

from pathlib import Path

import pytest

from tests.support.spin import Model

SOURCE = Path(__file__).parents[2] / "threat-model" / "proofs" / "revocation" / "revocation.pml"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(SOURCE, tmp_path_factory.mktemp("revocation"))


@pytest.fixture(scope="module")
def broken_twin(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(SOURCE, tmp_path_factory.mktemp("broken"), "BROKEN")


@pytest.mark.parametrize("claim", ["nothing_released_after_revocation", "released_is_logged", "one_event_per_request"])
def test_p05_holds_in_every_run_of_the_model(model: Model, claim: str) -> None:
    assert model.count_errors(claim) == 0


@pytest.mark.parametrize("way_out", ["something_is_released", "something_is_revoked"])
def test_the_model_is_not_empty(model: Model, way_out: str) -> None:
    assert model.count_errors(way_out) > 0


def test_checking_first_and_releasing_later_is_found_out(broken_twin: Model) -> None:
    assert broken_twin.count_errors("nothing_released_after_revocation") > 0
