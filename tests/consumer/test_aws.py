"""A call to AWS has an answer, a refusal, or nothing that anyone may rely on."""

from typing import Any

import pytest
from botocore import exceptions as sdk
from botocore.exceptions import ClientError

from sqs_worker import aws
from sqs_worker.ports import InboxDown, LedgerDown
from support.fakes import ScriptedDynamo, cancelled, refusal


def refused(code: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "Call",
    )


def raising(error: Exception) -> Any:
    def method(**_: Any) -> Any:
        raise error

    return method


def answer_of(answer: dict[str, Any]) -> Any:
    return lambda **_: answer


def test_an_answer_with_its_proof_is_an_answer() -> None:
    method = answer_of({"ConsumedCapacity": {}})
    assert aws.call(method, {}, lambda a: "ConsumedCapacity" in a, LedgerDown) == {
        "ConsumedCapacity": {}
    }


def test_an_answer_without_its_proof_is_down_and_stays_down() -> None:
    with pytest.raises(LedgerDown) as caught:
        aws.call(answer_of({}), {}, lambda a: "ConsumedCapacity" in a, LedgerDown)
    assert not caught.value.passing


def test_a_refusal_is_for_the_caller() -> None:
    with pytest.raises(ClientError):
        aws.call(raising(refused("ConditionalCheckFailedException")), {}, bool, LedgerDown)


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (sdk.EndpointConnectionError(endpoint_url="http://x"), True),
        (sdk.ReadTimeoutError(endpoint_url="http://x"), True),
        (sdk.ConnectionClosedError(endpoint_url="http://x"), True),
        (sdk.SSLError(endpoint_url="https://x", error="self-signed"), False),
        (sdk.NoCredentialsError(), False),
        (FileNotFoundError(2, "No such file", "/var/run/token"), False),
        (ValueError("Expecting value: line 1 column 1 (char 0)"), False),
        (AttributeError("'list' object has no attribute 'get'"), False),
    ],
)
def test_whatever_the_sdk_raises_is_down(error: Exception, passing: bool) -> None:
    with pytest.raises(InboxDown) as caught:
        aws.call(raising(error), {}, bool, InboxDown)
    assert caught.value.passing is passing
    assert str(error) in str(caught.value)


def test_an_error_that_quotes_a_credential_is_told_without_it() -> None:
    """A source may hand out a token with a line break in mid-run; the start has seen a good one."""
    quoting = sdk.HTTPClientError(error=ValueError("Invalid header value b'SECRET\\n'"))
    with pytest.raises(LedgerDown) as caught:
        aws.call(raising(quoting), {}, bool, LedgerDown)
    assert "Invalid header value" in str(caught.value)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "passing", "throttled"),
    [
        (refused("InternalServerError", 500), True, False),
        (refused("ServiceUnavailable", 503), True, False),
        (refused("ThrottlingException"), True, True),
        (refused("ProvisionedThroughputExceededException"), True, True),
        (refused("RequestThrottled", 403), True, True),
        (refused("AccessDeniedException"), False, False),
        (refused("ResourceNotFoundException"), False, False),
        (refused("ExpiredTokenException"), False, False),
        (cancelled("None", "ThrottlingError"), True, True),
        (cancelled("ProvisionedThroughputExceeded", "ConditionalCheckFailed"), True, True),
        (cancelled("ConditionalCheckFailed", "None"), False, False),
        (refusal("TransactionCanceledException", CancellationReasons=[None]), False, False),
    ],
)
def test_a_refusal_passes_or_stays(error: ClientError, passing: bool, throttled: bool) -> None:
    down = aws.down_by(error, LedgerDown)
    assert (down.passing, down.throttled) == (passing, throttled)


class TestRows:
    """Reads of rows by their keys."""

    def read(self, *answers: Any) -> tuple[list[Any], ScriptedDynamo, list[float]]:
        dynamo, sleeps = ScriptedDynamo(*answers), list[float]()
        try:
            return aws.rows(dynamo, "t", ["a", "b"], LedgerDown, sleeps.append), dynamo, sleeps
        finally:
            self.calls, self.sleeps = len(dynamo.calls), sleeps

    def test_what_was_left_out_is_asked_for_again_after_a_pause(self) -> None:
        rest = {"t": {"Keys": [{"message_id": {"S": "b"}}], "ConsistentRead": True}}
        found, dynamo, sleeps = self.read(
            {"Responses": {"t": [{"row": "a"}]}, "UnprocessedKeys": rest},
            {"Responses": {}, "UnprocessedKeys": rest},
            {"Responses": {"t": [{"row": "b"}]}, "UnprocessedKeys": {}},
        )
        assert found == [{"row": "a"}, {"row": "b"}]
        assert [request["RequestItems"] for _, request in dynamo.calls[1:]] == [rest, rest]
        assert len(sleeps) == 2

    def test_what_is_left_out_every_time_is_throttled(self) -> None:
        rest = {"Responses": {}, "UnprocessedKeys": {"t": {"Keys": []}}}
        with pytest.raises(LedgerDown) as caught:
            self.read(*[rest] * 100)
        assert caught.value.throttled
        assert self.calls == len(self.sleeps) < 10

    @pytest.mark.parametrize("answer", [{}, {"Responses": []}, {"Responses": None}])
    def test_an_answer_without_responses_is_no_empty_table(self, answer: dict[str, Any]) -> None:
        with pytest.raises(LedgerDown) as caught:
            self.read(answer)
        assert not caught.value.passing

    def test_a_refusal_keeps_its_kind(self) -> None:
        with pytest.raises(LedgerDown) as caught:
            self.read(refused("ProvisionedThroughputExceededException"))
        assert caught.value.throttled
