"""What the vault is told of its bucket."""

import pytest
from pydantic import ValidationError

from carnet_vault.settings import VaultSettings


def make_settings(endpoint: str) -> VaultSettings:
    values = {
        "data_dir": "data",
        "service_card": "card",
        "origin": "https://vault.example",
        "s3_endpoint_url": endpoint,
    }
    return VaultSettings.model_validate(values)


@pytest.mark.parametrize("endpoint", ["https://s3.example", "https://s3.example:9000", "http://127.0.0.1:9000"])
def test_bucket_is_reached_by_tls_or_on_loopback(endpoint: str) -> None:
    assert make_settings(endpoint).s3_endpoint_url == endpoint


@pytest.mark.parametrize(
    "endpoint", ["http://s3.example", "http://10.0.0.1:9000", "s3.example", "https://u:p@s3.example"]
)
def test_bucket_whose_urls_others_could_read_is_refused(endpoint: str) -> None:
    with pytest.raises(ValidationError, match="s3_endpoint_url"):
        make_settings(endpoint)
