"""The inventory is whole and true: every field that is stored or sent is in it, and nothing else is."""

import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carnet.deployment.prepare import prepare_deployment
from carnet.transport import ServerName
from carnet_protocol.limits import MIB
from carnet_protocol.signing import Signer
from carnet_storage.names import ObjectName
from carnet_storage.s3 import S3Store, make_s3_client
from carnet_storage.uploads import Upload
from carnet_vault.startup import URL_KEY
from tests.support import inventory as real
from tests.support.client import Wire
from tests.support.inventory import Inventory, load_inventory
from tests.support.sealed import decode, read_tables
from tests.support.traffic import Exchange, objects_in, payload_of, statements_in
from tests.support.whole_story import WholeStory

INVENTORY = load_inventory()
WALKS = {
    "databases": (real.in_databases, ("servers.db", "vault.db", "keyservice.db")),
    "bodies": (real.in_api, ("api",)),
    "statements": (real.in_statements, ("statement",)),
    "documents": (real.in_documents, ("document",)),
    "events": (real.in_events, ("event",)),
    "homes": (real.in_homes, tuple(f"home.{place}" for place in real.HOME_MODELS)),
    "logs": (real.in_logs, ("servers.log",)),
    "metrics": (real.in_metrics, ("servers.metrics",)),
}
WALKED_ELSEWHERE = ("vault.store", "vault.status", "keyservice.status", "deployment", "http", "url", "home.files")
ADMINISTRATIVE = "/v1/admin/"

COUNTS = {
    server: {field.rpartition(".")[2] for field in INVENTORY.fields(f"{place}.status")}
    for server, place in ((ServerName.VAULT, "vault"), (ServerName.KEYSERVICE, "keyservice"))
}


def _compare(found: set[str], *places: str, inventory: Inventory = INVENTORY) -> None:
    listed = inventory.fields(*places)
    assert not found - listed, f"not in the inventory: {sorted(found - listed)}"
    assert not listed - found, f"in the inventory, and no longer anywhere: {sorted(listed - found)}"


@pytest.mark.parametrize("walk", WALKS)
def test_every_field_is_in_the_inventory_and_nothing_else(walk: str) -> None:
    found, places = WALKS[walk]
    _compare(found(), *places)


@pytest.mark.parametrize("walk", WALKS)
def test_a_field_too_many_or_too_few_is_found(walk: str) -> None:
    found, places = WALKS[walk]
    with pytest.raises(AssertionError, match="not in the inventory"):
        _compare(found() | {f"{places[0]}.thing.planted"}, *places)
    with pytest.raises(AssertionError, match="no longer anywhere"):
        _compare(set(sorted(found())[1:]), *places)


def test_every_entry_is_walked() -> None:
    walked = [place for _, places in WALKS.values() for place in places]
    everything = {field for entry in INVENTORY.entries for field in entry.fields()}
    assert INVENTORY.fields(*walked, *WALKED_ELSEWHERE) == everything


def test_no_field_has_two_entries() -> None:
    fields = [field for entry in INVENTORY.entries for field in entry.fields()]
    assert len(fields) == len(set(fields))


def test_parties_and_seals_are_those_that_are_named() -> None:
    used = {seal for entry in INVENTORY.entries for seal in entry.seals} - {"none", "within"}
    assert used == set(INVENTORY.seals)
    assert set().union(*(entry.seen_by for entry in INVENTORY.entries)) == set(INVENTORY.parties)


def test_what_the_prover_is_told_is_what_the_seal_says() -> None:
    """Each sealed field has terms, each of them under one of its seals; what is readable hides no sealed term."""
    for entry in INVENTORY.entries:
        prefixes = {INVENTORY.seals[seal]["term"] for seal in entry.seals if seal in INVENTORY.seals}
        if not prefixes:
            assert not any("(" in term for term in entry.terms), entry
            continue
        for prefix in prefixes:
            assert any(term.startswith(prefix) for term in entry.terms), (entry.place, prefix)
        for term in entry.terms:
            assert any(term.startswith(prefix) for prefix in prefixes), (entry.place, term)


def test_both_databases_have_the_tables_that_were_walked(whole: WholeStory) -> None:
    """The migrations made what the metadata say: the very columns of the running databases."""
    for server in ("vault", "keyservice"):
        for table, rows in read_tables(whole.root / f"{server}.sqlite").items():
            if table == "alembic_version":
                continue
            for row in rows[:1]:
                for column in row:
                    listed = INVENTORY.fields(f"servers.db.{table}", f"{server}.db.{table}")
                    assert {f"servers.db.{table}.{column}", f"{server}.db.{table}.{column}"} & listed, (table, column)


def test_every_object_that_went_by_has_members_of_the_inventory(whole: WholeStory) -> None:
    models = [
        {field.rpartition(".")[2] for entry in INVENTORY.entries if entry.place == place for field in entry.fields()}
        for place in {entry.place for entry in INVENTORY.entries if entry.place.startswith("api.")}
    ]
    seen = 0
    for exchange in whole.exchanges:
        for body in exchange.bodies():
            for value in objects_in(body):
                seen += 1
                # Two members are maps of names: headers of an upload, none here, and counts of a server's status.
                assert not value or set(value) in [*models, *COUNTS.values()], sorted(value)
    assert seen > 500


def test_what_officers_see_and_do_has_members_of_the_inventory(whole: WholeStory) -> None:
    """Every administrative route of both servers went by; the counts are those listed, each server's own."""
    for server, app in ((name, wire.client.app) for name, wire in _wires(whole).items()):
        went_by = [exchange for exchange in whole.exchanges if exchange.server is server]
        acts = {(exchange.method, exchange.url.path.split("/")[3]) for exchange in went_by if _is_act(exchange)}
        offered = {
            (method.upper(), path.split("/")[3])
            for path, methods in app.openapi()["paths"].items()  # type: ignore[attr-defined]  # FastAPI's, not only ASGI
            for method in methods
            if path.startswith(ADMINISTRATIVE)
        }
        assert acts == offered
        (status,) = (exchange for exchange in went_by if exchange.url.path == f"{ADMINISTRATIVE}status")
        answer = json.loads(status.answer)
        assert set(answer["counts"]) == COUNTS[server]
        assert {f"api.ServerStatus.{name}" for name in answer} == INVENTORY.fields("api.ServerStatus")
        assert len(answer["officers"]) == 2


def test_every_statement_that_went_by_has_members_of_the_inventory(whole: WholeStory) -> None:
    kinds: set[str] = set()
    for typ, payload in _statements(whole):
        kind = typ.removeprefix("carnet.").removesuffix(".v1")
        kinds.add(kind)
        assert {f"statement.{kind}.{name}" for name in payload} == INVENTORY.fields(f"statement.{kind}")
    assert len(kinds) >= 14, kinds


def test_every_event_that_went_by_has_members_of_the_inventory(whole: WholeStory) -> None:
    kinds: set[str] = set()
    for exchange in whole.exchanges:
        if exchange.url.path.endswith("/events"):
            for event in json.loads(exchange.answer)["events"]:
                body = json.loads(decode(event["body"]))
                kinds.add(body["kind"])
                assert {f"event.body.{name}" for name in body} == INVENTORY.fields("event.body")
    assert {"release.list", "release.open", "fetch.list", "fetch.open", "lock.made", "lock.retired"} <= kinds


def test_headers_and_queries_that_went_by(whole: WholeStory) -> None:
    requests = {name for exchange in whole.exchanges for name in exchange.request_headers}
    answers = {name for exchange in whole.exchanges for name in exchange.answer_headers}
    _compare({f"http.request.{name}" for name in requests}, "http.request")
    _compare({f"http.answer.{name}" for name in answers}, "http.answer")
    queries: dict[bool, set[str]] = {True: set(), False: set()}
    for exchange in whole.exchanges:
        queries["/v1/objects/" in exchange.url.path].update(exchange.url.params)
    # `limit` is for clients that want small pages; ours takes the largest.
    _compare({f"http.query.{name}" for name in queries[False] | {"limit", "after"}}, "http.query")
    _compare({f"url.vault.{name}" for name in queries[True]}, "url.vault")


def test_presigned_urls_of_a_bucket_have_the_parameters_of_the_inventory() -> None:
    client = make_s3_client(
        endpoint_url="http://127.0.0.1:9", region="us-east-1", access_key_id="id", secret_access_key="secret"
    )
    store = S3Store(client, bucket="bucket")
    name = ObjectName(secrets.token_urlsafe(32))
    upload = Upload(name, 100, 5 * MIB, "an-upload-of-the-bucket")
    urls = [store.put_url(upload, 1, now=0, ttl_seconds=60), store.get_url(name, now=0, ttl_seconds=60)]
    found = {name for url in urls for name in re.findall(r"[?&]([^=]+)=", url)}
    _compare({f"url.bucket.{name}" for name in found}, "url.bucket")


def test_the_store_holds_what_the_inventory_says(whole: WholeStory) -> None:
    store = whole.root / "objects"
    folders = {path.relative_to(store).parts[0] for path in store.rglob("*") if path.is_file()}
    # Nothing is being uploaded now.
    assert folders | {"uploads"} == {"format", "objects", "uploads"}
    _compare({"vault.store.format", "vault.store.object", "vault.store.upload"}, "vault.store")


def test_homes_hold_what_the_inventory_says(whole: WholeStory) -> None:
    homes = [home for home in (whole.root / "homes").iterdir() if home.is_dir()]
    found = {path.name for home in homes for path in home.iterdir()}
    # Gone once a device has joined.
    _compare({f"home.files.{name}" for name in found | {"pairing.json"}}, "home.files")


def test_a_deployment_holds_what_the_inventory_says(tmp_path: Path) -> None:
    registrar = Signer(secrets.token_bytes(32))
    prepare_deployment(tmp_path / "all", registrar_key=lambda _: registrar.public_key)
    found = {path.relative_to(tmp_path / "all").as_posix() for path in (tmp_path / "all").rglob("*") if path.is_file()}
    # Made by the vault when it starts.
    _compare({f"deployment.files.{name}" for name in found | {f"vault/keys/{URL_KEY}"}}, "deployment.files")


def test_logs_hold_the_fields_of_the_inventory(whole: WholeStory) -> None:
    for log in whole.logs().values():
        for line in log.splitlines():
            assert {f"servers.log.{name}" for name in json.loads(line)} <= INVENTORY.fields("servers.log")


def test_the_key_service_is_sent_no_field_that_it_does_not_see(whole: WholeStory) -> None:
    """Each server is sent what the inventory says it sees, and nothing else: by member, of bodies and statements."""
    unseen = {
        ServerName.VAULT: {entry.place for entry in INVENTORY.entries if "vault" not in entry.seen_by},
        ServerName.KEYSERVICE: {entry.place for entry in INVENTORY.entries if "keyservice" not in entry.seen_by},
    }
    seen_kinds: dict[ServerName, set[str]] = {name: set() for name in ServerName}
    for exchange in whole.exchanges:
        for body in exchange.bodies():
            for text in statements_in(body):
                kind = payload_of(text)[0].removeprefix("carnet.").removesuffix(".v1")
                seen_kinds[exchange.server].add(f"statement.{kind}")
    for server, kinds in seen_kinds.items():
        assert not kinds & unseen[server], (server, kinds & unseen[server])
    assert "statement.manifest" in seen_kinds[ServerName.VAULT]
    assert "statement.recovery" in seen_kinds[ServerName.KEYSERVICE]


def _wires(whole: WholeStory) -> dict[ServerName, Wire]:
    return {ServerName.VAULT: whole.world.vault, ServerName.KEYSERVICE: whole.world.keyservice}


def _is_act(exchange: Exchange) -> bool:
    return exchange.url.path.startswith(ADMINISTRATIVE) and exchange.status == 200


def _statements(whole: WholeStory) -> Iterator[tuple[str, dict[str, Any]]]:
    texts = {text for exchange in whole.exchanges for body in exchange.bodies() for text in statements_in(body)}
    return (payload_of(text) for text in texts)
