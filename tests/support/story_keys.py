"""Every key of the whole story, and everything sealed that it left: what each claim about keys is checked with."""

import json
from collections.abc import Iterator

from carnet.pairing import _answer_info
from carnet.sealing import derive_key
from carnet.session import Session
from carnet.slots import Slot, SlotKind, derive_passphrase_slot_key
from carnet_protocol import labels
from tests.support.client import PASSPHRASE
from tests.support.sealed import Sealed, in_home, in_keyservice, in_vault, read_tables, seal_of_message_to
from tests.support.whole_story import WholeStory

Key = tuple[str, str]
Keys = dict[bytes, Key]


def find_sealed(whole: WholeStory) -> dict[str, list[Sealed]]:
    """Everything sealed that the story left, by seal."""
    found = [
        *in_vault(read_tables(whole.root / "vault.sqlite"), whole.root / "objects"),
        *in_keyservice(read_tables(whole.root / "keyservice.sqlite")),
        *(one for name in whole.sessions() for one in in_home(whole.root / "homes" / name)),
        seal_of_message_to(
            "device-pairing",
            "home.pairing-answer",
            whole.pairing_answer,
            _answer_info(whole.pairing_request),
            whole.pairing_request.suite,
        ),
    ]
    by_seal: dict[str, list[Sealed]] = {}
    for one in {(one.seal, one.raw): one for one in found}.values():
        by_seal.setdefault(one.seal, []).append(one)
    return by_seal


def find_keys(whole: WholeStory, sealed: dict[str, list[Sealed]]) -> Keys:
    """Every key of the story, with its kind and whose it is; what lies sealed is opened layer by layer."""
    found: Keys = {whole.world.master_key: ("master key", "1"), whole.pairing_seed: ("pairing key", "tablet")}
    for name, session in whole.sessions().items():
        found |= {key: (kind, name) for kind, key in _own_keys(session)}
    for name, secret in whole.story.secrets.items():
        found[secret.reveal()] = ("recovery secret", name)
        found[secret.derive_slot_key()] = ("recovery slot key", name)
    for name, server in (("vault", whole.world.own.vault), ("key service", whole.world.own.keyservice)):
        found |= {server.key.seed(): ("server key", name), server.log_key.seed(): ("log key", name)}
    found |= _opened(sealed["record-lock"], found, "record lock")
    found |= _opened(sealed["sealed-compartment-key"], found, "compartment key")
    for prefix in ("", "personal-"):
        outer = sealed[f"{prefix}outer-lock"]
        texts = [next(text for key in found if (text := one.open(key)) is not None) for one in outer]
        inner = [one.inside(text) for one, text in zip(outer, texts, strict=True)]
        sealed[f"{prefix}inner-lock"] = [one for one in inner if one is not None]
        for role in ("content", "metadata"):
            of_role = [one for one in sealed[f"{prefix}inner-lock"] if one.role == role]
            found |= _opened(of_role, found, f"{role} key")
    return found


def _opened(sealed: list[Sealed], keys: Keys, kind: str) -> Keys:
    found: Keys = {}
    for number, one in enumerate(sealed):
        text = next((text for key in keys if (text := one.open(key)) is not None), None)
        assert text is not None, (one.seal, one.place)
        found[text] = (kind, str(number))
    return found


def _own_keys(session: Session) -> Iterator[tuple[str, bytes]]:
    body = session.keyring.body
    for held in body.account_keys:
        account_key = held.account_key
        yield "account key", account_key.reveal()
        yield "account KEM key", account_key.derive_kem_key(held.suite).seed()
        yield "device name key", account_key.derive_device_name_key()
        yield "keyring body key", account_key.derive_keyring_body_key()
        yield "local state key", account_key.derive_local_state_key()
        yield "previous account key", derive_key(account_key.reveal(), labels.PREVIOUS_ACCOUNT_KEY)
    if body.recovery_secret is not None:
        yield "recovery secret", body.recovery_secret.reveal()
        yield "recovery slot key", body.recovery_secret.derive_slot_key()
    yield "device seed", body.device_signer.seed()
    device_secret = session.home.load_device_secret()
    yield "device secret", device_secret.reveal()
    for entry in json.loads(session.home.load("keyring.json"))["slots"]:
        slot = Slot.model_validate_json(json.dumps(entry))
        assert slot.kind is SlotKind.PASSPHRASE
        yield "slot key", derive_passphrase_slot_key(slot, PASSPHRASE, device_secret).raw
