"""The vault over a bucket: clients and bucket move the bytes between them, by URLs that the vault hands out."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from carnet_protocol.api import OpenedVersion
from carnet_storage.s3 import make_s3_client
from tests.support.counts import is_ci
from tests.support.parcels import make_sealed
from tests.support.people import Dice
from tests.support.radosgw import DEBIAN_PACKAGES, missing_programs, running_radosgw
from tests.support.vault import VaultStory, code
from tests.support.vault_process import VaultProcess

BUCKET = "carnet-vault-test"


@pytest.fixture
def process(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultProcess]:
    """A vault whose store is a bucket of a Ceph RADOS gateway of its own."""
    missing = missing_programs()
    if missing:
        reason = f"no {', '.join(missing)}; on Debian: apt-get install {' '.join(DEBIAN_PACKAGES)}"
        if is_ci():
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with running_radosgw(tmp_path_factory.mktemp("radosgw")) as gateway:
        client = make_s3_client(
            endpoint_url=gateway.endpoint_url,
            region=gateway.region,
            access_key_id=gateway.access_key_id,
            secret_access_key=gateway.secret_access_key,
        )
        client.create_bucket(Bucket=BUCKET)
        client.close()
        settings = [
            'store = "s3"',
            f's3_endpoint_url = "{gateway.endpoint_url}"',
            f's3_region = "{gateway.region}"',
            f's3_bucket = "{BUCKET}"',
            f's3_access_key_id = "{gateway.access_key_id}"',
            f's3_secret_access_key = "{gateway.secret_access_key}"',
        ]
        with VaultProcess.lay_out(tmp_path, Dice("bucket"), settings="\n".join(settings)) as made:
            yield made


def test_the_vault_moves_no_bytes(process: VaultProcess) -> None:
    process.start()
    story = VaultStory.begin(process.world())
    parcel, abandoned = story.parcel(sealed=make_sealed(story.world.dice, padded=20 << 20)), story.parcel()
    parts = story.begin_uploads([parcel.size]).json()["uploads"][0]["parts"]
    assert len(parts) == 2
    assert not any(part["url"].startswith(process.own.vault.origin) for part in parts)
    assert story.bring(parcel).status_code == 200
    story.upload(abandoned)
    opened = OpenedVersion.model_validate_json(story.open(story.bob, parcel, story.read_grant).content)
    assert httpx2.get(opened.url, timeout=60).content == parcel.sealed.ciphertext
    ranged = httpx2.get(opened.url, headers={"range": "bytes=5-9"}, timeout=60)
    assert ranged.content == parcel.sealed.ciphertext[5:10]
    assert code(story.world.client.get("/v1/objects/" + "A" * 43)) == (404, "refused")
    status, report = process.run_json("fsck", "--deep")
    assert (status, report["findings"], report["objects"]) == (0, [], 1)
    assert process.run_json("gc", "--grace-seconds", "0")[1]["counts"]["uploads"] == 2
    assert process.run_json("fsck")[1]["litter"] == {
        "erased_objects": 0,
        "orphan_objects": 0,
        "retired_objects": 0,
        "uploads": 0,
    }
    process.stop()
    routes = {json.loads(line).get("route") for line in (process.root / "vault.jsonl").read_text().splitlines()}
    assert "/v1/objects/{name}" not in routes
