"""AWS KMS is asked as it should be, told apart in its refusals, and never made to destroy what is not ours.

KMS is a stand-in of ours; the head of tests/support/kms_stand_in.py says what that does not prove.
"""

import base64
import logging
from collections.abc import Iterator

import pytest

from carnet_keyservice.errors import MasterKeyError
from carnet_keyservice.master_keys.aws_kms import AwsKmsProvider
from carnet_protocol.ids import Fingerprint
from tests.support.kms_stand_in import KmsKey, KmsStandIn
from tests.support.people import Dice

KEY_SERVICE = Fingerprint(Dice("key service")(32))
MAKING = ["DescribeKey", "CreateKey", "CreateAlias", "GenerateDataKey", "Decrypt"]


@pytest.fixture
def kms() -> Iterator[KmsStandIn]:
    """An empty account."""
    with KmsStandIn.running() as made, made.credentials_in_environment():
        yield made


def make_provider(kms: KmsStandIn, *, region: str | None = None) -> AwsKmsProvider:
    return AwsKmsProvider(region=region or kms.region, endpoint_url=kms.url, key_service=KEY_SERVICE)


def only(kms: KmsStandIn) -> KmsKey:
    """The one key of the account."""
    (key,) = kms.keys.values()
    return key


def states(kms: KmsStandIn) -> list[str]:
    return sorted(key.state for key in kms.keys.values())


# What is asked


def test_a_version_has_a_kms_key_of_its_own_with_alias_and_tags(kms: KmsStandIn) -> None:
    provider = make_provider(kms)
    provider.make(1)
    assert kms.calls == MAKING
    provider.make(12)
    assert kms.aliases == {
        f"alias/carnet-{KEY_SERVICE}-master-{version}": key.arn
        for version, key in zip((1, 12), kms.keys.values(), strict=True)
    }
    assert [key.tags for key in kms.keys.values()] == [
        {"carnet-key-service": str(KEY_SERVICE), "carnet-master-key": version} for version in ("1", "12")
    ]


def test_what_the_database_keeps_is_as_written(kms: KmsStandIn) -> None:
    made = make_provider(kms).make(1)
    arn = only(kms).arn.encode()
    assert made.token.startswith(b"KMS\x01" + len(arn).to_bytes(2, "big") + arn)


def test_loading_asks_for_one_thing(kms: KmsStandIn) -> None:
    provider = make_provider(kms)
    made = provider.make(1)
    kms.calls.clear()
    provider.load(1, made.token)
    assert kms.calls == ["Decrypt"]


def test_a_key_is_disabled_at_once_and_deleted_after_seven_days(kms: KmsStandIn) -> None:
    provider = make_provider(kms)
    made = provider.make(1)
    kms.calls.clear()
    provider.destroy(1, made.token)
    assert [call for call in kms.calls if call not in ("DescribeKey", "ListResourceTags")] == [
        "DisableKey",
        "ScheduleKeyDeletion",
    ]
    assert (only(kms).state, only(kms).days_left) == ("PendingDeletion", 7)
    assert "7 days" in provider.afterwards
    kms.pass_days(6)
    with pytest.raises(MasterKeyError, match=r"not usable now; .* cancel a deletion that was not meant"):
        provider.load(1, made.token)
    with pytest.raises(MasterKeyError, match="PendingDeletion; enable it, cancelling its deletion first"):
        provider.make(1)
    kms.pass_days(1)
    assert kms.keys == {}
    with pytest.raises(MasterKeyError, match="its KMS key is not there"):
        provider.load(1, made.token)
    provider.destroy(1, made.token)


def test_what_was_cut_off_between_disabling_and_deleting_goes_on(kms: KmsStandIn) -> None:
    provider = make_provider(kms)
    made = provider.make(1)
    kms.denied = {"ScheduleKeyDeletion"}
    with pytest.raises(MasterKeyError, match="denies it"):
        provider.destroy(1, made.token)
    assert states(kms) == ["Disabled"]
    kms.denied.clear()
    provider.destroy(1, made.token)
    assert states(kms) == ["PendingDeletion"]


@pytest.mark.parametrize("action", ["DescribeKey", "DisableKey", "ScheduleKeyDeletion"])
@pytest.mark.parametrize("is_lost", [True, False])
def test_destroying_ends_well_where_an_answer_is_lost_or_another_process_destroys_at_once(
    kms: KmsStandIn, action: str, is_lost: bool
) -> None:
    provider = make_provider(kms)
    made = provider.make(1)
    if is_lost:
        kms.cut.add(action)
    else:
        kms.before[action] = lambda: make_provider(kms).destroy(1, made.token)
    provider.destroy(1, made.token)
    assert not kms.cut
    assert not kms.before
    assert states(kms) == ["PendingDeletion"]


def test_a_key_in_a_state_that_destroying_does_not_end_is_told(kms: KmsStandIn) -> None:
    provider = make_provider(kms)
    made = provider.make(1)
    only(kms).state = "Unavailable"
    with pytest.raises(MasterKeyError, match="not usable now; see its state"):
        provider.destroy(1, made.token)


# Whose key it is


@pytest.mark.parametrize("tags", [{}, {"carnet-key-service": str(KEY_SERVICE), "carnet-master-key": "2"}])
def test_a_key_that_is_not_tagged_for_the_version_is_neither_used_nor_destroyed(
    kms: KmsStandIn, tags: dict[str, str]
) -> None:
    """Who can write into the database, or set an alias, turns no destruction against another key."""
    provider = make_provider(kms)
    made = provider.make(1)
    only(kms).tags = tags
    for call in (lambda: provider.make(1), lambda: provider.destroy(1, b""), lambda: provider.destroy(1, made.token)):
        with pytest.raises(MasterKeyError, match="is not tagged as its own"):
            call()
    assert states(kms) == ["Enabled"]


def test_of_two_that_make_a_version_at_once_the_second_takes_the_first_ones(kms: KmsStandIn) -> None:
    first = []
    kms.before["CreateAlias"] = lambda: first.append(make_provider(kms).make(1))
    second = make_provider(kms).make(1)
    assert states(kms) == ["Enabled", "PendingDeletion"]
    provider = make_provider(kms)
    for made in (*first, second):
        assert provider.load(1, made.token).is_same_as(made.key)


def test_the_encryption_context_is_what_binds(kms: KmsStandIn) -> None:
    """Under the very same KMS key, another version or key service opens nothing."""
    made = make_provider(kms).make(1)
    other = AwsKmsProvider(region=kms.region, endpoint_url=kms.url, key_service=Fingerprint(bytes(32)))
    for provider, version in ((make_provider(kms), 2), (other, 1)):
        with pytest.raises(MasterKeyError, match="was changed, or is another version's or key service's"):
            provider.load(version, made.token)
    assert kms.calls[-2:] == ["Decrypt", "Decrypt"]


def test_a_token_that_names_another_key_is_refused(kms: KmsStandIn) -> None:
    provider = make_provider(kms)
    one, two = provider.make(1), provider.make(2)
    first, second = (arn.encode() for arn in kms.keys)
    swapped = one.token.replace(first, second, 1)
    with pytest.raises(MasterKeyError, match="names another KMS key"):
        provider.load(1, swapped)
    with pytest.raises(MasterKeyError, match="is not tagged as its own"):
        provider.destroy(1, swapped)
    assert states(kms) == ["Enabled", "Enabled"]
    assert provider.load(2, two.token).is_same_as(two.key)


# What is told


@pytest.mark.parametrize("action", MAKING)
def test_an_action_that_is_denied_is_told_and_making_goes_on_when_it_is_not(kms: KmsStandIn, action: str) -> None:
    """Decrypting too: who may make keys and not load them learns it now, and not at the next start."""
    provider = make_provider(kms)
    kms.denied = {action}
    with pytest.raises(MasterKeyError, match=r"AWS KMS denies it; .* the actions that keyservice/README\.md lists"):
        provider.make(1)
    kms.denied.clear()
    made = provider.make(1)
    assert provider.load(1, made.token).is_same_as(made.key)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("DisabledException", "its KMS key is disabled; enable it"),
        ("KMSInvalidStateException", "not usable now; see its state"),
        ("LimitExceededException", "raise its quota"),
        ("ExpiredTokenException", "renew them"),
        ("KMSInternalException", "AWS KMS fails; do this again"),
        ("NeverHeardOfException", "AWS KMS fails; do this again"),
    ],
)
def test_each_refusal_says_what_to_mend(
    kms: KmsStandIn, monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    provider = make_provider(kms)
    made = provider.make(1)
    kms.refused["Decrypt"] = code
    with pytest.raises(MasterKeyError, match=message) as failure:
        provider.load(1, made.token)
    assert str(failure.value).startswith("master key 1: ")
    assert "stand-in says" not in str(failure.value)


def test_a_disabled_key_is_told_and_wraps_nothing(kms: KmsStandIn) -> None:
    provider = make_provider(kms)
    made = provider.make(1)
    only(kms).state = "Disabled"
    with pytest.raises(MasterKeyError, match="its KMS key is disabled; enable it"):
        provider.load(1, made.token)
    with pytest.raises(MasterKeyError, match="is Disabled; enable it"):
        provider.make(1)


def test_tries_are_bounded(kms: KmsStandIn) -> None:
    provider = make_provider(kms)
    made = provider.make(1)
    kms.calls.clear()
    kms.throttled = 2
    assert provider.load(1, made.token).is_same_as(made.key)
    assert len(kms.calls) == 3
    kms.calls.clear()
    kms.throttled = 99
    with pytest.raises(MasterKeyError, match="too many requests from this account; do this again later"):
        provider.load(1, made.token)
    assert len(kms.calls) == 4


@pytest.mark.parametrize("action", MAKING)
def test_an_answer_that_is_lost_loses_no_key(kms: KmsStandIn, action: str) -> None:
    """What was done and not heard of is done again. A KMS key that is made twice wraps nothing the first time."""
    provider = make_provider(kms)
    kms.cut.add(action)
    made = provider.make(1)
    assert not kms.cut
    assert make_provider(kms).load(1, made.token).is_same_as(made.key)
    assert len(kms.aliases) == 1


def test_credentials_that_are_unknown_or_not_there_are_told(kms: KmsStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFNOBODY")
    with pytest.raises(MasterKeyError, match="AWS does not know the credentials"):
        make_provider(kms).make(1)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(MasterKeyError, match=r"cannot be asked \(NoCredentialsError\); see .* the credentials"):
        make_provider(kms).make(1)
    assert kms.calls == []


def test_another_region_is_told(kms: KmsStandIn) -> None:
    with pytest.raises(MasterKeyError, match="does not take the credentials"):
        make_provider(kms, region="us-east-1").make(1)


def test_answers_never_come_into_a_log_though_the_rest_does(kms: KmsStandIn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made = make_provider(kms).make(1)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("botocore")]
    assert any("GenerateDataKey" in line for line in said)
    assert not any(base64.b64encode(made.key.reveal()).decode() in line for line in said)


def test_botocore_would_log_the_key_if_it_were_let(
    kms: KmsStandIn, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the test above would notice."""
    caplog.set_level(logging.DEBUG)
    provider = make_provider(kms)
    provider._client()
    monkeypatch.setattr(logging.getLogger("botocore.parsers"), "filters", [])
    made = provider.make(1)
    assert base64.b64encode(made.key.reveal()).decode() in caplog.text


# The stand-in


@pytest.mark.parametrize(
    ("action", "asked", "code"),
    [
        ("Encrypt", {}, "UnknownOperationException"),
        ("DescribeKey", {"KeyId": "alias/none"}, "NotFoundException"),
        ("DescribeKey", {"KeyId": "alias/none", "GrantTokens": []}, "ValidationException"),
        ("DisableKey", {"KeyId": "alias/none"}, "InvalidArnException"),
    ],
)
def test_the_stand_in_refuses_what_it_does_not_know(
    kms: KmsStandIn, action: str, asked: dict[str, object], code: str
) -> None:
    with pytest.raises(Exception, match=code):
        kms.answer(action, asked)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"carnet-key-service": str(KEY_SERVICE)},
        {"carnet-key-service": str(KEY_SERVICE), "carnet-master-key": "2"},
        {"carnet-key-service": str(KEY_SERVICE), "carnet-master-key": "1", "more": "x"},
    ],
    ids=["none", "less", "other", "more"],
)
def test_the_stand_in_enforces_the_context(
    kms: KmsStandIn, wrong: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = make_provider(kms)
    made = provider.make(1)
    monkeypatch.setattr(AwsKmsProvider, "_context", lambda *_: wrong)
    with pytest.raises(MasterKeyError, match="was changed"):
        provider.load(1, made.token)
