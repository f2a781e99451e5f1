"""The three secrets of a version show nothing of themselves."""

import copy
import pickle

import pytest

from carnet.errors import DecryptionError
from carnet.keys import Secret
from carnet.secrets import CommitmentKey, ContentKey, MetadataKey

KINDS = pytest.mark.parametrize("kind", [ContentKey, MetadataKey, CommitmentKey])


@KINDS
def test_a_secret_shows_nothing_of_itself(kind: type[Secret]) -> None:
    secret = kind.make()
    for shown in (repr(secret), str(secret), f"{secret}", f"{[secret]}", "%s" % secret):  # noqa: UP031  on purpose
        assert "****" in shown
        assert secret.reveal().hex() not in shown
        assert repr(secret.reveal()) not in shown


@KINDS
def test_a_secret_is_neither_compared_nor_pickled_nor_hashed(kind: type[Secret]) -> None:
    secret = kind.make()
    for forbidden in (
        lambda: secret == kind(secret.reveal()),
        lambda: pickle.dumps(secret),
        lambda: copy.deepcopy(secret),
        lambda: hash(secret),
    ):
        with pytest.raises(TypeError):
            forbidden()


@KINDS
@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_secret_of_another_length_is_refused(kind: type[Secret], size: int) -> None:
    with pytest.raises(DecryptionError):
        kind(bytes(size))


@KINDS
def test_two_fresh_secrets_differ(kind: type[Secret]) -> None:
    assert kind.make().reveal() != kind.make().reveal()
