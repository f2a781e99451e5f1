"""The inventory of the threat model, and what the programs really keep and send, by the same names.

A name is a place and a member: `vault.db.capsules.sealed`, `api.Capsule.role`, `statement.grant.expires`.
"""

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import carnet_protocol.api
import carnet_protocol.statements
from carnet.documents.metadata import DocumentKind, Metadata
from carnet.events import EventBody, _EventDocument
from carnet.keyring_file import KeyringFile, _BodyFile, _HeldAccountKey
from carnet.pairing import _AnswerFile, _AnswerKey, _PairingFile, _RequestFile
from carnet.slots import PassphraseParameters, PrfParameters, Slot
from carnet_keyservice.tables import metadata as keyservice_metadata
from carnet_protocol.statements import KINDS
from carnet_protocol.wire import WireModel
from carnet_server.logs import FIELDS
from carnet_server.metrics import Metrics
from carnet_server.tables import metadata as shared_metadata
from carnet_vault.tables import metadata as vault_metadata

PATH = Path(__file__).parents[2] / "threat-model" / "inventory.yaml"
HOME_MODELS: dict[str, type[WireModel]] = {
    "keyring": KeyringFile,
    "slot": Slot,
    "passphrase": PassphraseParameters,
    "prf": PrfParameters,
    "keyring-body": _BodyFile,
    "account-key": _HeldAccountKey,
    "pairing": _PairingFile,
    "pairing-request": _RequestFile,
    "pairing-answer": _AnswerFile,
    "pairing-answer-key": _AnswerKey,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: members of one place that are alike."""

    place: str
    names: tuple[str, ...]
    what: str
    seen_by: frozenset[str]
    seals: tuple[str, ...]
    terms: tuple[str, ...]

    def fields(self) -> list[str]:
        """The names of its fields."""
        return [f"{self.place}.{name}" for name in self.names]


@dataclass(frozen=True, slots=True)
class Inventory:
    """The whole page."""

    entries: tuple[Entry, ...]
    seals: dict[str, dict[str, str]]
    parties: dict[str, str]

    def fields(self, *places: str) -> set[str]:
        """The fields whose place begins with one of `places`."""
        return {
            field
            for entry in self.entries
            for field in entry.fields()
            if any(entry.place == place or entry.place.startswith(f"{place}.") for place in places)
        }


def load_inventory() -> Inventory:
    """The inventory as it is committed."""
    data = yaml.safe_load(PATH.read_text("utf-8"))
    entries = tuple(
        Entry(
            entry["place"],
            tuple(entry["names"]),
            entry["what"],
            frozenset(entry["seen_by"]),
            tuple(entry["seal"]) if isinstance(entry["seal"], list) else (entry["seal"],),
            tuple(entry.get("terms", ())),
        )
        for entry in data["fields"]
    )
    return Inventory(entries, data["seals"], data["parties"])


def in_databases() -> set[str]:
    """Every column of both servers; what both have by the same name stands under `servers.db`."""
    shared = {table.name for table in shared_metadata.sorted_tables} | {"nonces"}
    found: set[str] = set()
    for server, metadata in (("vault", vault_metadata), ("keyservice", keyservice_metadata)):
        for table in metadata.sorted_tables:
            place = "servers" if table.name in shared else server
            found |= {f"{place}.db.{table.name}.{column.name}" for column in table.columns}
    return found


def models_of(package: Any) -> Iterator[type[WireModel]]:
    """Every model that is defined in `package`."""
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, WireModel) and value.__module__ == module.name:
                yield value


def in_api() -> set[str]:
    """Every member of every body."""
    return {f"api.{model.__name__}.{name}" for model in models_of(carnet_protocol.api) for name in model.model_fields}


def in_statements() -> set[str]:
    """Every member of every statement and of what stands in it."""
    kinds: dict[type[WireModel], str] = {kind: kind.KIND for kind in KINDS.values()}
    return {
        f"statement.{kinds.get(model, model.__name__.lower())}.{name}"
        for model in models_of(carnet_protocol.statements)
        if model.__name__ != "Statement"
        for name in model.model_fields
    }


def in_documents() -> set[str]:
    """Every member of a document's metadata."""
    places: dict[str, type[WireModel]] = {"metadata": Metadata, "kind": DocumentKind}
    return {f"document.{place}.{name}" for place, model in places.items() for name in model.model_fields}


def in_events() -> set[str]:
    """Every member of an event's body."""
    places: dict[str, type[WireModel]] = {"body": EventBody, "document": _EventDocument}
    return {f"event.{place}.{name}" for place, model in places.items() for name in model.model_fields}


def in_homes() -> set[str]:
    """Every member of the files of a person's home folder, and of what two devices give each other."""
    return {f"home.{place}.{name}" for place, model in HOME_MODELS.items() for name in model.model_fields}


def in_logs() -> set[str]:
    """Every field that a server may log."""
    return {f"servers.log.{name}" for name in FIELDS}


def in_metrics() -> set[str]:
    """Every metric, and every label."""
    metrics = Metrics()
    metrics.count_answer(method="GET", route="/", status=200, code="refused", seconds=0)
    found: set[str] = set()
    for family in metrics.registry.collect():
        found |= {f"servers.metrics.{family.name}.{label}" for sample in family.samples for label in sample.labels}
        found.add(f"servers.metrics.{family.name}.value")
    return found
