"""Who may seal and open: one module of the client for keys, one for content, one of the key service. Nobody else.

The rule is an allow-list over imported names: what is not named here is refused, so a new primitive or a new library
needs a line in this file, with its reason.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.architecture.source import ROOT, imports, modules, plant, refuse

# Libraries that hold cryptography. A package that is not here and not in pyproject.toml is refused by test_imports.
LIBRARIES = ["cryptography", "nacl", "joserfc", "argon2", "http_message_signatures", "blake3", "pkcs11"]

# What verifies, signs or hashes, and can neither seal nor open. Any module may import these.
VERIFY_AND_HASH = {
    "blake3.blake3": "digests of content",
    "cryptography.exceptions": "errors, turned into ours at the boundary",
    "joserfc.errors": "errors",
    "joserfc.jwk.OKPKey": "the key of a statement's signature",
    "joserfc.jws": "statements",
    "nacl.bindings.crypto_core_ed25519_is_valid_point": "refuses public keys of low order",
    "nacl.exceptions": "errors",
    "nacl.signing.SigningKey": "signs",
    "nacl.signing.VerifyKey": "verifies",
}
# Composes and checks request signatures; it holds no cipher at all.
VERIFY_ONLY_LIBRARIES = ["http_message_signatures"]

# The modules that may import primitives of encryption, and from where.
SEALING_MODULES = {
    "client/carnet/sealing.py": LIBRARIES,
    "keyservice/carnet_keyservice/sealing.py": LIBRARIES,
    # Content streams at gigabytes a second with buffers and threads of its own: another noun than the sealing of keys.
    "client/carnet/content/cobblestone.py": [
        "cryptography.cobblestone",
        "cryptography.hazmat.primitives.ciphers.aead.AESGCM",
        "cryptography.hazmat.primitives.hashes",
        "cryptography.hazmat.primitives.kdf.hkdf.HKDFExpand",
    ],
    # What it wraps, the token wraps: the key never leaves it.
    "keyservice/carnet_keyservice/master_keys/pkcs11.py": ["pkcs11"],
    "keyservice/carnet_keyservice/master_keys/pkcs11_token.py": ["pkcs11"],
}

# Signatures are made and checked in one module; request signatures are composed in one more and signed by the first.
SIGNING = ["nacl.signing", "joserfc", "http_message_signatures", "cryptography.hazmat.primitives.asymmetric"]
SIGNING_MODULES = {
    "protocol/carnet_protocol/signing.py": ["nacl.signing", "joserfc"],
    "protocol/carnet_protocol/answers.py": ["http_message_signatures"],
    "protocol/carnet_protocol/requests.py": ["http_message_signatures"],
    "protocol/carnet_protocol/signature_base.py": ["http_message_signatures"],
}

# These never open anything: not even a function of theirs may be called so.
KEYLESS_PACKAGES = {"carnet_protocol", "carnet_server", "carnet_vault", "carnet_storage"}
OPENING = re.compile(r"decrypt|decapsul|unseal|unwrap_key|open_sealed|open_capsule|open_lock", re.IGNORECASE)


def misplaced_primitives(root: Path) -> Iterator[str]:
    """Yields each import of a primitive in a module that may neither seal nor open."""
    for module in modules(root):
        allowed = [*VERIFY_AND_HASH, *VERIFY_ONLY_LIBRARIES, *SEALING_MODULES.get(module.path, [])]
        for found in imports(module):
            is_cryptography = any(found.is_of(library) for library in LIBRARIES)
            if is_cryptography and not any(found.is_of(name) for name in allowed):
                yield f"{module.path}:{found.line}: {found.name} may not be imported here"


def misplaced_signatures(root: Path) -> Iterator[str]:
    """Yields each import of signature primitives outside the modules that sign and verify."""
    for module in modules(root):
        allowed = SIGNING_MODULES.get(module.path, SEALING_MODULES.get(module.path, []))
        for found in imports(module):
            is_signing = any(found.is_of(name) for name in SIGNING) and not found.is_of("joserfc.errors")
            if is_signing and not any(found.is_of(name) for name in allowed):
                yield f"{module.path}:{found.line}: {found.name} is for carnet_protocol.signing"


def openings_in_keyless_packages(root: Path) -> Iterator[str]:
    """Yields each name, defined or used in a package that holds no keys, that says that something is opened."""
    for module in modules(root):
        if module.package not in KEYLESS_PACKAGES:
            continue
        for node in ast.walk(module.tree):
            match node:
                case ast.Attribute(attr=name) | ast.Name(id=name) | ast.FunctionDef(name=name):
                    pass
                case ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    pass
                case _:
                    continue
            if OPENING.search(name):
                yield f"{module.path}:{node.lineno}: {module.package} never opens, but says {name}"


def test_primitives_are_imported_where_keys_are_sealed_and_nowhere_else() -> None:
    refuse(misplaced_primitives(ROOT))


def test_signatures_are_made_and_checked_in_one_module() -> None:
    refuse(misplaced_signatures(ROOT))


def test_packages_without_keys_never_open() -> None:
    refuse(openings_in_keyless_packages(ROOT))


OUTSIDE = [
    "protocol/carnet_protocol/signing.py",
    "protocol/carnet_server/x.py",
    "vault/carnet_vault/sealing.py",
    "storage/carnet_storage/x.py",
    "client/carnet/record.py",
    "keyservice/carnet_keyservice/releases/decide.py",
]
PRIMITIVES = [
    "from cryptography.hazmat.primitives import hpke",
    "from cryptography.hazmat.primitives.hpke import Suite",
    "from cryptography.hazmat.primitives.ciphers.aead import AESGCM",
    "from cryptography.hazmat.primitives.asymmetric import x25519",
    "from cryptography.hazmat.primitives.kdf.hkdf import HKDF",
    "from cryptography.cobblestone import Cobblestone256Decryptor",
    "from cryptography.fernet import Fernet",
    "import cryptography",
    "import nacl",
    "import nacl.secret as box",
    "from nacl import public",
    "from nacl.bindings import crypto_secretbox_open",
    "from nacl.signing import *",
    "from joserfc import jwe",
    "from joserfc import jwt",
    "import argon2.low_level",
    "import pkcs11",
    "def f():\n    from nacl.public import SealedBox",
    "import importlib\nimportlib.import_module('nacl.secret')",
]


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("text", PRIMITIVES)
def test_misplaced_primitive_is_found(tmp_path: Path, path: str, text: str) -> None:
    assert len(list(misplaced_primitives(plant(tmp_path, path, text)))) == 1


@pytest.mark.parametrize("path", ["client/carnet/sealing.py", "keyservice/carnet_keyservice/sealing.py"])
@pytest.mark.parametrize("text", [text for text in PRIMITIVES if text.startswith("from cryptography")])
def test_primitive_in_its_place_is_let_be(tmp_path: Path, path: str, text: str) -> None:
    assert list(misplaced_primitives(plant(tmp_path, path, text))) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("from cryptography.cobblestone import Cobblestone256Encryptor", 0),
        ("from cryptography.hazmat.primitives.ciphers.aead import AESGCM", 0),
        ("from cryptography.hazmat.primitives.hpke import Suite", 1),
        ("from cryptography.hazmat.primitives.ciphers.aead import AESSIV", 1),
        ("from nacl.secret import Aead", 1),
    ],
)
def test_content_module_imports_its_two_ciphers_only(tmp_path: Path, text: str, count: int) -> None:
    assert len(list(misplaced_primitives(plant(tmp_path, "client/carnet/content/cobblestone.py", text)))) == count


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("vault/carnet_vault/x.py", "from nacl.signing import VerifyKey"),
        ("client/carnet/x.py", "from joserfc import jws"),
        ("keyservice/carnet_keyservice/x.py", "import http_message_signatures"),
        ("protocol/carnet_protocol/ids.py", "from cryptography.hazmat.primitives.asymmetric import ed25519"),
    ],
)
def test_misplaced_signature_is_found(tmp_path: Path, path: str, text: str) -> None:
    assert len(list(misplaced_signatures(plant(tmp_path, path, text)))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "def open_capsule(): ...",
        "class Decryptor: ...",
        "suite.decrypt(x)",
        "decapsulate(x)",
        "async def unseal(): ...",
    ],
)
@pytest.mark.parametrize("path", ["vault/carnet_vault/x.py", "protocol/carnet_protocol/x.py"])
def test_opening_in_a_keyless_package_is_found(tmp_path: Path, path: str, text: str) -> None:
    assert len(list(openings_in_keyless_packages(plant(tmp_path, path, text)))) == 1


def test_opening_of_a_file_and_sealing_client_are_let_be(tmp_path: Path) -> None:
    plant(tmp_path, "vault/carnet_vault/x.py", "with path.open() as file: file.read()")
    plant(tmp_path, "client/carnet/x.py", "def decrypt(): ...")
    assert list(openings_in_keyless_packages(tmp_path)) == []
