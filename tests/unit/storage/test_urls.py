"""Transfer URLs of the filesystem store: what is signed holds, and a refusal says nothing."""

import copy
import pickle
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carnet_storage import (
    MAX_URL_SECONDS,
    MIN_PART_BYTES,
    OBJECTS_PATH,
    PutPermit,
    TransferUrls,
    Upload,
    UrlRefused,
    UrlSecret,
    make_object_name,
)

NOW = 1_800_000_000
NAME = make_object_name(lambda count: bytes(range(count)))
UPLOAD = Upload(NAME, 2 * MIN_PART_BYTES + 7, MIN_PART_BYTES, "A" * 22)
URLS = TransferUrls("https://vault.example", UrlSecret(bytes(range(32))))
PUT_URL = URLS.put_url(UPLOAD, 3, now=NOW, ttl_seconds=60)
GET_URL = URLS.get_url(NAME, now=NOW, ttl_seconds=60)
PUT_QUERY, GET_QUERY = urlsplit(PUT_URL).query, urlsplit(GET_URL).query


def test_put_url_permits_what_it_states() -> None:
    permit = URLS.authorize_put(NAME.text, PUT_QUERY, content_length=7, now=NOW)
    assert permit == PutPermit(NAME, UPLOAD.token, 3, 2 * MIN_PART_BYTES, 7)


def test_get_url_permits_what_it_states() -> None:
    assert URLS.authorize_get(NAME.text, GET_QUERY, now=NOW) == NAME


def test_urls_are_under_the_vaults_origin() -> None:
    for url in (PUT_URL, GET_URL):
        assert url.startswith(f"https://vault.example{OBJECTS_PATH}{NAME}?")


@pytest.mark.parametrize(("seconds", "accepted"), [(0, True), (59, True), (60, False), (61, False), (10**9, False)])
def test_url_ends_with_its_last_second(seconds: int, accepted: bool) -> None:
    assert _is_put_accepted(PUT_QUERY, now=NOW + seconds) is accepted
    assert _is_get_accepted(GET_QUERY, now=NOW + seconds) is accepted


@pytest.mark.parametrize("content_length", [None, -7, 0, 6, 8, 7 + 2**64])
def test_other_content_length_is_refused(content_length: int | None) -> None:
    with pytest.raises(UrlRefused) as refusal:
        URLS.authorize_put(NAME.text, PUT_QUERY, content_length=content_length, now=NOW)
    assert refusal.value.reason == "length"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("part=3", "part=2"),
        ("offset=10485760", "offset=0"),
        ("expires=1800000060", "expires=1800000061"),
        (f"upload={'A' * 22}", f"upload={'A' * 21}B"),
        ("part=3", "part=03"),
        ("part=3", "part=+3"),
        ("part=3", "part=%33"),
        ("part=3", "part=３"),
        ("part=3", "part=3&part=3"),
        ("part=3&", ""),
        ("upload=", "&upload="),
        ("upload=", "Upload="),
        ("signature=", "x=1&signature="),
        ("expires=1800000060", "expires=99999999999999999999"),
        ("expires=1800000060", "expires=-1"),
        ("signature=", "signature=A"),
    ],
)
def test_put_url_that_was_changed_is_refused(old: str, new: str) -> None:
    assert old in PUT_QUERY
    with pytest.raises(UrlRefused):
        URLS.authorize_put(NAME.text, PUT_QUERY.replace(old, new), content_length=7, now=NOW)


@pytest.mark.parametrize("end", ["\n", "&", "=", "#", "A", "\0", "&signature="])
def test_trailing_characters_are_refused(end: str) -> None:
    assert not _is_put_accepted(PUT_QUERY + end)
    assert not _is_get_accepted(GET_QUERY + end)


@given(st.data())
def test_any_changed_character_is_refused(data: st.DataObject) -> None:
    query, name = data.draw(st.sampled_from([(PUT_QUERY, ""), (GET_QUERY, ""), ("", NAME.text)]))
    text = query or name
    position = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters(codec="utf-8").filter(lambda drawn: drawn != text[position]))
    changed = text[:position] + character + text[position + 1 :]
    if name:
        assert not _is_put_accepted(PUT_QUERY, name=changed)
        assert not _is_get_accepted(GET_QUERY, name=changed)
    else:
        assert not _is_put_accepted(changed)
        assert not _is_get_accepted(changed)


@given(st.text(max_size=600))
def test_any_text_is_refused(text: str) -> None:
    assert not _is_put_accepted(text)
    assert not _is_get_accepted(text)
    assert not _is_get_accepted(GET_QUERY, name=text)


@pytest.mark.parametrize(
    "name", ["..", "../../../etc/passwd", "%2e%2e", NAME.text + "/", "/" + NAME.text, "", "a" * 43]
)
def test_hostile_name_is_refused(name: str) -> None:
    assert not _is_put_accepted(PUT_QUERY, name=name)
    assert not _is_get_accepted(GET_QUERY, name=name)


def test_url_of_one_kind_is_not_one_of_the_other() -> None:
    assert not _is_put_accepted(GET_QUERY)
    assert not _is_get_accepted(PUT_QUERY)


def test_url_of_another_deployment_is_refused() -> None:
    other = TransferUrls(URLS.origin, UrlSecret(bytes(32)))
    query = urlsplit(other.get_url(NAME, now=NOW, ttl_seconds=60)).query
    with pytest.raises(UrlRefused) as refusal:
        URLS.authorize_get(NAME.text, query, now=NOW)
    assert refusal.value.reason == "signature"


def test_every_refusal_looks_alike() -> None:
    queries = [PUT_QUERY.replace("part=3", "part=2"), "", PUT_QUERY[:-1], PUT_QUERY]
    refusals: list[UrlRefused] = []
    for query in queries:
        with pytest.raises(UrlRefused) as refusal:
            URLS.authorize_put(NAME.text, query, content_length=7, now=NOW + 60)
        refusals.append(refusal.value)
    assert len({str(refusal) for refusal in refusals}) == 1
    assert [refusal.reason for refusal in refusals] == ["signature", "malformed", "malformed", "expired"]


@pytest.mark.parametrize("ttl_seconds", [-1, 0, MAX_URL_SECONDS + 1])
def test_url_is_not_made_for_longer_than_minutes(ttl_seconds: int) -> None:
    with pytest.raises(AssertionError, match="internal"):
        URLS.get_url(NAME, now=NOW, ttl_seconds=ttl_seconds)


def test_secret_has_a_least_length() -> None:
    with pytest.raises(AssertionError, match="internal"):
        UrlSecret(bytes(31))


def test_secret_does_not_show() -> None:
    secret = UrlSecret(b"correct horse battery staple, and more")
    assert "horse" not in f"{secret!r} {secret} {TransferUrls('https://vault.example', secret)!r}"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(secret)


def _is_put_accepted(query: str, *, name: str = NAME.text, now: int = NOW) -> bool:
    try:
        URLS.authorize_put(name, query, content_length=7, now=now)
    except UrlRefused:
        return False
    return True


def _is_get_accepted(query: str, *, name: str = NAME.text, now: int = NOW) -> bool:
    try:
        URLS.authorize_get(name, query, now=now)
    except UrlRefused:
        return False
    return True
