"""Attacks 18 and 20 on live servers: what a thief of disks, a reader of core dumps and an outsider get to see."""

import contextlib
import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from carnet.demo.canaries import Needle, search, spell
from carnet.documents.listing import list_documents
from carnet.documents.reading import open_document
from carnet.samples import make_canary
from carnet.session import Session
from carnet.transport import ServerName
from carnet_protocol.ids import RecordId
from carnet_protocol.requests import KeyId, sign_request
from carnet_storage.s3 import make_s3_client
from tests.support.client import PASSPHRASE
from tests.support.counts import is_ci
from tests.support.kept import Place, dump_memory, keep_uncompressed
from tests.support.live import Keeping, LiveWorld
from tests.support.postgres import PostgresCluster, postgres_cluster
from tests.support.radosgw import DEBIAN_PACKAGES, missing_programs, running_radosgw
from tests.support.story import Story
from tests.support.traffic import Exchange
from tests.support.whole_story import WholeStory, tell_in

__all__ = ["postgres_cluster"]

BUCKET = "carnet-kept"
ID = re.compile(r"[A-Za-z0-9_-]{43}")
PLACES = ("disk", "postgresql", "bucket")


@dataclass(slots=True)
class Kept:
    """The whole story, told to two live servers, and where they keep what is left of it."""

    whole: WholeStory
    world: LiveWorld
    place: Place
    planted_in_memory: Needle
    needles: list[Needle]

    @property
    def is_on_postgresql(self) -> bool:
        """Whether both databases are PostgreSQL's."""
        return {engine.dialect.name for engine in self.world.engines.values()} == {"postgresql"}


@pytest.fixture(scope="module", params=PLACES)
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """The story on SQLite and a folder, on PostgreSQL and a folder, on SQLite and a bucket."""
    folder = tmp_path_factory.mktemp("kept")
    with contextlib.ExitStack() as stack:
        # Stretching passphrases takes long, and no server sees of it.
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr("carnet.slots.stretch_passphrase", _hash)
        match request.param:
            case "disk":
                place = _on_disk(folder, stack)
            case "postgresql":
                place = _on_postgresql(folder, stack, request.getfixturevalue("postgres_cluster"))
            case _:
                place = _on_bucket(folder, stack, tmp_path_factory.mktemp("radosgw"))
        for whole in tell_in(place.world, folder):
            yield Kept(whole, place.world, place, _MEMORY, list(_secrets(whole)))


def _hash(passphrase: str, *, salt: bytes, cost: object) -> bytes:
    del cost
    return hashlib.sha256(salt + passphrase.encode()).digest()


_MEMORY = Needle("planted in the memory", make_canary())


def _run(folder: Path, stack: contextlib.ExitStack, keeping: Keeping) -> LiveWorld:
    planted = {"PLANTED": _MEMORY.secret.decode()}
    return stack.enter_context(LiveWorld.running(folder, keeping=keeping, environment=planted))


def _on_disk(folder: Path, stack: contextlib.ExitStack, keeping: Keeping | None = None) -> Place:
    world = _run(folder, stack, keeping or Keeping())
    objects = world.folders()[ServerName.VAULT] / "objects"
    return Place(
        world,
        disks=list(world.folders().values()),
        put=lambda name, data: (objects / name).write_bytes(data),
        remove=lambda name: (objects / name).unlink(),
    )


def _on_postgresql(folder: Path, stack: contextlib.ExitStack, cluster: PostgresCluster) -> Place:
    """The cluster's whole folder is looked at: tables and indexes, the log written ahead, the server's own log."""
    urls = [stack.enter_context(cluster.fresh_database()) for _ in range(2)]
    place = _on_disk(folder, stack, Keeping(*urls))
    for engine in place.world.engines.values():
        keep_uncompressed(engine)
    place.disks.append(cluster.folder)
    place.settle = lambda: cluster.execute("CHECKPOINT")
    return place


def _on_bucket(folder: Path, stack: contextlib.ExitStack, gateway_folder: Path) -> Place:
    """What the bucket gives is looked at, with what it says of itself, and the gateway's own files and logs."""
    missing = missing_programs()
    if missing:
        reason = f"no {', '.join(missing)}; on Debian: apt-get install {' '.join(DEBIAN_PACKAGES)}"
        if is_ci():
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    gateway = stack.enter_context(running_radosgw(gateway_folder))
    client = make_s3_client(
        endpoint_url=gateway.endpoint_url,
        region=gateway.region,
        access_key_id=gateway.access_key_id,
        secret_access_key=gateway.secret_access_key,
    )
    stack.callback(client.close)
    client.create_bucket(Bucket=BUCKET)
    settings = (
        'store = "s3"',
        f's3_endpoint_url = "{gateway.endpoint_url}"',
        f's3_region = "{gateway.region}"',
        f's3_bucket = "{BUCKET}"',
        f's3_access_key_id = "{gateway.access_key_id}"',
        f's3_secret_access_key = "{gateway.secret_access_key}"',
    )
    world = _run(folder, stack, Keeping(store=settings))

    def collect(target: Path) -> None:
        objects = client.list_objects_v2(Bucket=BUCKET)["Contents"]
        for number, entry in enumerate(objects):
            answer = client.get_object(Bucket=BUCKET, Key=entry["Key"])
            (target / f"{number}").write_bytes(answer["Body"].read())
            (target / f"{number}.json").write_text(json.dumps([entry, answer], default=str))
        (target / "uploads.json").write_text(json.dumps(client.list_multipart_uploads(Bucket=BUCKET), default=str))

    return Place(
        world,
        disks=[*world.folders().values(), gateway_folder],
        put=lambda name, data: client.put_object(Bucket=BUCKET, Key=name, Body=data),
        remove=lambda name: client.delete_object(Bucket=BUCKET, Key=name),
        collect=collect,
    )


def _secrets(whole: WholeStory) -> Iterator[Needle]:
    """What no server may learn: what people wrote, their passphrase and words, and every key of theirs that matters."""
    for place, canary in whole.canaries.items():
        yield Needle(place, canary)
    yield Needle("passphrase", PASSPHRASE.encode())
    for name, secret in whole.story.secrets.items():
        yield Needle(f"recovery words of {name}", " ".join(secret.words()).encode())
        yield Needle(f"recovery secret of {name}", secret.reveal())
    for name, session in whole.sessions().items():
        yield Needle(f"device seed of {name}", session.keyring.body.device_signer.seed())
        for held in session.keyring.body.account_keys:
            yield Needle(f"account key of {name}", held.account_key.reveal())
            yield Needle(f"account KEM key of {name}", held.account_key.derive_kem_key(held.suite).seed())
    access = whole.story.access(whole.story.alice)
    for compartment in access.compartments.values():
        for key in compartment.keys.values():
            yield Needle("compartment key", key.seed())
    for document in list_documents(whole.story.alice, access).documents:
        opened = open_document(whole.story.alice, access, document.id)
        yield Needle("content key", opened.content_key.reveal())
        yield Needle("metadata key", opened.metadata_key.reveal())


def test_nothing_that_can_be_read_is_kept_on_any_disk(kept: Kept, tmp_path: Path) -> None:
    """Attack 20: databases with what they wrote ahead, store, logs, temporary files, while both servers run."""
    with kept.place.planted() as planted:
        found = search(kept.place.folders(tmp_path), [*planted, *kept.needles]).findings
    assert len(planted) == 5
    for needle in planted:
        seen = [finding for finding in found if finding.needle == needle.name]
        assert {finding.spelling for finding in seen} == set(spell(needle)), needle
        assert any("expanded" in finding.path.parts for finding in seen), needle
        if "database" in needle.name:
            ahead = ("base", "pg_wal") if kept.is_on_postgresql else ("database.sqlite-wal",)
            assert set(ahead) <= {part for finding in seen for part in finding.path.parts}
    assert {finding.needle for finding in found} == {needle.name for needle in planted}


def test_nothing_that_can_be_read_is_in_memory(kept: Kept, tmp_path: Path) -> None:
    """Attack 20: core dumps of both servers as they run. What a server has to have is there, and nothing more."""
    own, master_key = kept.world.own, Needle("master key", kept.world.master_key)
    held = {
        ServerName.VAULT: [Needle("log key", own.vault.log_key.seed())],
        ServerName.KEYSERVICE: [Needle("log key", own.keyservice.log_key.seed()), master_key],
    }
    for server, pid in kept.world.pids().items():
        folder = tmp_path / str(server)
        folder.mkdir()
        origin = own.vault.origin if server is ServerName.VAULT else own.keyservice.origin
        there = [kept.planted_in_memory, Needle("origin", origin.encode()), *held[server]]
        assert dump_memory(pid, folder / "core") > 10 << 20
        found = {finding.needle for finding in search([folder], [*there, master_key, *kept.needles]).findings}
        assert found == {needle.name for needle in there}
    assert len(kept.world.pids()) == 2


def test_a_refusal_is_one_whether_the_thing_is_there_or_not(kept: Kept) -> None:
    """Attack 18: whatever anybody did with a record, done by an outsider, there and where nothing is."""
    story, exchanges = kept.whole.story, kept.whole.exchanges
    tried: set[tuple[ServerName, str, str]] = set()
    told_apart = 0
    for exchange in list(exchanges):
        names = [name for name in ID.findall(exchange.url.path) if exchange.url.path.startswith("/v1/records/")]
        route = (exchange.server, exchange.method, ID.sub("*", exchange.url.path))
        if not names or route in tried or exchange.status != 200:
            continue
        tried.add(route)
        answers = [_send_as(story, story.mallory, exchange, path) for path in _elsewhere(exchange.url.path, names)]
        assert {answer.status_code for answer in answers} <= {400, 404}, route
        seen = {(answer.status_code, answer.content, _headers(answer)) for answer in answers}
        assert len(seen) == 1, (route, seen)
        if exchange.method == "GET":
            own = [_send_as(story, story.alice, exchange, path) for path in _elsewhere(exchange.url.path, names)]
            told_apart += len({answer.status_code for answer in own}) > 1
    assert len(tried) > 16, tried
    assert told_apart > 3, "the patient is answered where a thing is"


def _elsewhere(path: str, names: list[str]) -> Iterator[str]:
    """`path` as it is, and with each of the `names` in it, and all of them, replaced by a name of nothing."""
    yield path
    for name in names:
        yield path.replace(name, str(RecordId(secrets.token_bytes(32))))
    yield ID.sub(lambda _: str(RecordId(secrets.token_bytes(32))), path)


def _send_as(story: Story, session: Session, exchange: Exchange, path: str) -> httpx2.Response:
    server = {ServerName.VAULT: session.vault, ServerName.KEYSERVICE: session.keyservice}[exchange.server]
    target = str(exchange.url.copy_with(path=path))
    headers = sign_request(
        method=exchange.method,
        target=target,
        body=exchange.request,
        server=server.fingerprint,
        key_id=KeyId(session.device.raw),
        created=story.world.clock(),
        sign=session.keyring.body.device_signer.sign,
    )
    if exchange.request:
        headers["content-type"] = "application/json"
    wire = story.world.vault if exchange.server is ServerName.VAULT else story.world.keyservice
    return wire.client.request(exchange.method, target, content=exchange.request, headers=headers)


def _headers(answer: httpx2.Response) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in answer.headers.items() if name != "date"))
