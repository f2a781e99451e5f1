"""A store is followed to where nobody else reads the way, and nowhere else."""

import httpx2
import pytest

from carnet.errors import AnswerError
from carnet.stores import Stores


@pytest.fixture
def stores() -> Stores:
    return Stores(lambda _: httpx2.Client())


@pytest.mark.parametrize(
    "url",
    [
        "https://bucket.example/a?signature=x",
        "https://bucket.example:9000/a",
        "http://127.0.0.1:9000/a",
        "http://[::1]:9000/a",
        "http://localhost/a",
    ],
)
def test_store_behind_tls_or_on_this_machine_is_followed(stores: Stores, url: str) -> None:
    assert stores.client(url) is stores.client(url)
    stores.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://bucket.example/a?signature=x",
        "http://10.0.0.1:9000/a",
        "http://localhost.example/a",
        "http://127.0.0.1@bucket.example/a",
        "https://user@bucket.example/a",
        "https://bucket.example:port/a",
        "https://[::1/a",
        "ftp://bucket.example/a",
        "https:///a",
        "/a",
        "",
    ],
)
def test_other_store_is_not_followed(stores: Stores, url: str) -> None:
    with pytest.raises(AnswerError, match="tell its operator"):
        stores.client(url)
    stores.close()
