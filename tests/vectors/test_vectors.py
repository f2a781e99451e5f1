"""Carnet itself gives every vector its verdict, and finds in it what the vector says."""

import pytest
from pydantic import ValidationError

from carnet.errors import CarnetError
from carnet_keyservice.errors import KeyServiceError
from carnet_protocol.errors import ProtocolError
from tests.vectors.carnet_verdicts import VERDICTS
from tests.vectors.scenario import Scenario, load_scenarios

SCENARIOS = list(load_scenarios())


def test_every_format_has_a_reader() -> None:
    assert {scenario.format for scenario in SCENARIOS} == set(VERDICTS)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: str(scenario.path()))
def test_carnet_gives_the_verdict_of_the_vector(scenario: Scenario) -> None:
    if scenario.output is None:
        with pytest.raises((CarnetError, ProtocolError, KeyServiceError, ValidationError)):
            VERDICTS[scenario.format](scenario.input)
    else:
        assert VERDICTS[scenario.format](scenario.input) == scenario.output
