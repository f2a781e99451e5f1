"""The stores under test: a filesystem always, an S3 bucket where Debian's RADOS gateway is installed."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.support.counts import is_ci
from tests.support.radosgw import DEBIAN_PACKAGES, RadosGateway, missing_programs, running_radosgw
from tests.unit.storage.deployment import Deployment, client_of, filesystem_deployment, s3_deployment

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets boto3 try again at once."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))


@pytest.fixture(scope="session")
def radosgw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RadosGateway]:
    """A gateway for the whole session; without its programs a skip, but in CI an error."""
    missing = missing_programs()
    if missing:
        reason = (
            f"the S3 tests need a Ceph RADOS Gateway, but this machine has no {', '.join(missing)}; on Debian: "
            f"apt-get install --no-install-recommends {' '.join(DEBIAN_PACKAGES)}"
        )
        if is_ci():
            pytest.fail(f"in CI {reason}", pytrace=False)
        pytest.skip(reason)
    with running_radosgw(tmp_path_factory.mktemp("radosgw")) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def s3_client(radosgw: RadosGateway) -> Iterator["S3Client"]:
    """A client of the gateway; making one takes longer than most tests."""
    client = client_of(radosgw)
    yield client
    client.close()


@pytest.fixture(scope="session")
def http_client() -> Iterator[httpx2.Client]:
    """Whoever was given a transfer URL."""
    with httpx2.Client(timeout=60) as client:
        yield client


@pytest.fixture(params=["filesystem", "s3"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path, http_client: httpx2.Client) -> Iterator[Deployment]:
    """Each kind of store in turn, empty."""
    if request.param == "s3":
        gateway, s3_client = request.getfixturevalue("radosgw"), request.getfixturevalue("s3_client")
        yield s3_deployment(gateway, s3_client, http_client)
    else:
        with filesystem_deployment(tmp_path / "store", http_client) as served:
            yield served
