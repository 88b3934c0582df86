"""What is sent again, what is given up at once, and what each message is told."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import boto3
import botocore.exceptions as aws
import pytest
from moto import mock_aws

from sender import send
from sender.payloads import Message, messages
from sender.send import Answer, Meter, Outcome, Sender, _failure, explain

URL = "http://127.0.0.1:4566/000000000000/q"


class Client:
    """Answers SendMessageBatch by script: a step is an error, or {entry id: (code, sender fault)};
    what a step does not name is accepted; after the last step everything is."""

    def __init__(self, *steps: Any) -> None:
        self._steps: Iterator[Any] = iter(steps)
        self.calls: list[list[str]] = []

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, str]]) -> Any:  # noqa: N803
        assert QueueUrl == URL
        assert 1 <= len(Entries) <= 10
        ids = [entry["Id"] for entry in Entries]
        self.calls.append(ids)
        step: Any = next(self._steps, {})
        if isinstance(step, Exception):
            raise step
        failed = [
            {"Id": i, "Code": code, "SenderFault": fault, "Message": f"{code} said so"}
            for i, (code, fault) in step.items()
            if code
        ]
        good = [{"Id": i, "MessageId": f"sqs-{i}"} for i in reversed(ids) if i not in step]
        return {key: found for key, found in (("Successful", good), ("Failed", failed)) if found}


def client_error(code: str, status: int) -> aws.ClientError:
    said: Any = {
        "Error": {"Code": code, "Message": "no\nway"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return aws.ClientError(said, "SendMessageBatch")


LOST = aws.ReadTimeoutError(endpoint_url="http://x")
DOWN = aws.EndpointConnectionError(endpoint_url="http://x")


def batch(size: int = 3, first: int = 0) -> list[Message]:
    return list(islice(messages(1, lambda _: False), first, first + size))


def run(client: Client, size: int = 3) -> tuple[Answer, list[float]]:
    sleeps: list[float] = []
    sender = Sender(client, URL, sleep=sleeps.append)  # type: ignore[arg-type]
    return sender.send(batch(size)), sleeps


def told(answer: Answer) -> list[str]:
    return [outcome.sqs_id or outcome.code for outcome in answer.outcomes]


def test_all_accepted_in_the_order_of_the_batch() -> None:
    client = Client()
    answer, sleeps = run(client)
    assert told(answer) == ["sqs-0", "sqs-1", "sqs-2"]
    assert [outcome.message.index for outcome in answer.outcomes] == [0, 1, 2]
    assert (answer.refusal, sleeps, client.calls) == ("", [], [["0", "1", "2"]])


def test_only_the_failed_entries_go_again() -> None:
    client = Client({"1": ("InternalError", False)}, {"1": ("ServiceUnavailable", False)})
    answer, sleeps = run(client)
    assert client.calls == [["0", "1", "2"], ["1"], ["1"]]
    assert told(answer) == ["sqs-0", "sqs-1", "sqs-2"]
    assert len(sleeps) == 2


def test_a_senders_fault_is_not_tried_again_and_keeps_its_reason() -> None:
    client = Client({"1": ("InvalidMessageContents", True)})
    answer, _ = run(client)
    assert len(client.calls) == 1
    assert told(answer) == ["sqs-0", "InvalidMessageContents", "sqs-2"]
    assert answer.outcomes[1].reason == "InvalidMessageContents said so"
    assert not answer.refusal


def test_a_throttle_is_tried_again_even_if_called_the_senders_fault() -> None:
    client = Client({"0": ("RequestThrottled", True), "2": ("KMS.ThrottlingException", True)})
    answer, _ = run(client)
    assert client.calls == [["0", "1", "2"], ["0", "2"]]
    assert told(answer) == ["sqs-0", "sqs-1", "sqs-2"]


def test_tries_are_bounded_and_the_last_reason_is_told() -> None:
    client = Client(*[{"1": ("InternalError", False)}] * 50)
    answer, sleeps = run(client)
    assert len(client.calls) == send.TRIES
    assert told(answer) == ["sqs-0", "InternalError", "sqs-2"]
    assert len(sleeps) == send.TRIES - 1


def test_an_entry_that_the_answer_forgets_is_tried_again_then_failed() -> None:
    forgotten = {"1": ("", False)}
    assert told(run(Client(forgotten))[0]) == ["sqs-0", "sqs-1", "sqs-2"]
    assert told(run(Client(*[forgotten] * 50))[0]) == ["sqs-0", "NoAnswer", "sqs-2"]


@pytest.mark.parametrize(
    "passing",
    [
        client_error("ThrottlingException", 400),
        client_error("RequestThrottled", 403),
        client_error("InternalFailure", 500),
        client_error("ServiceUnavailable", 503),
    ],
)
def test_a_whole_batch_goes_again_after_what_may_pass(passing: Exception) -> None:
    client = Client(passing, passing)
    answer, sleeps = run(client)
    assert client.calls == [["0", "1", "2"]] * 3
    assert told(answer) == ["sqs-0", "sqs-1", "sqs-2"]
    assert not answer.refusal
    assert len(sleeps) == 2


def test_a_batch_that_never_passes_fails_without_condemning_the_queue() -> None:
    client = Client(*[client_error("ServiceUnavailable", 503)] * 50)
    answer, _ = run(client)
    assert len(client.calls) == send.TRIES
    assert told(answer) == ["ServiceUnavailable"] * 3
    assert not answer.refusal


@pytest.mark.parametrize("lost", [LOST, DOWN, aws.ConnectionClosedError(endpoint_url="http://x")])
def test_a_lost_answer_is_sent_again_once_the_queue_has_been_reached(lost: Exception) -> None:
    client = Client({}, lost, lost)
    sender = Sender(client, URL, sleep=lambda _: None)  # type: ignore[arg-type]
    sender.send(batch())
    answer = sender.send(batch(3, first=3))
    assert client.calls[1:] == [["3", "4", "5"]] * 3
    assert told(answer) == ["sqs-3", "sqs-4", "sqs-5"]


@pytest.mark.parametrize(
    ("final", "advice"),
    [
        (client_error("AWS.SimpleQueueService.NonExistentQueue", 400), "--queue-url"),
        (client_error("AccessDenied", 403), "sqs:SendMessage"),
        (client_error("InvalidClientTokenId", 403), "credentials"),
        (aws.NoCredentialsError(), "AWS_PROFILE"),
        (DOWN, "AWS_ENDPOINT_URL"),
    ],
)
def test_what_cannot_pass_is_given_up_at_once_with_advice(final: Exception, advice: str) -> None:
    client = Client(*[final] * 50)
    answer, sleeps = run(client)
    assert len(client.calls) == 1
    assert not sleeps
    assert all(outcome.code and not outcome.sqs_id for outcome in answer.outcomes)
    assert advice in answer.refusal
    assert "\n" not in answer.refusal


def test_what_was_accepted_before_the_refusal_stays_sent() -> None:
    client = Client({"1": ("InternalError", False)}, client_error("AccessDenied", 403))
    answer, _ = run(client)
    assert told(answer) == ["sqs-0", "AccessDenied", "sqs-2"]
    assert "AccessDenied" in answer.refusal


def test_backoff_doubles_its_ceiling_and_stops_at_the_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[float, float]] = []

    def record(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    monkeypatch.setattr("sender.send.random.uniform", record)
    run(Client(*[client_error("InternalFailure", 500)] * 50))
    assert [low for low, _ in asked] == [0] * 7, "full jitter starts at 0"
    assert [high for _, high in asked] == pytest.approx([0.2, 0.4, 0.8, 1.6, 2, 2, 2])


def test_explanations_are_one_line_with_the_code() -> None:
    line = explain(client_error("AccessDenied", 403))
    assert line.startswith("AccessDenied: no way; ")


def test_an_outcome_names_its_message() -> None:
    answer, _ = run(Client({"2": ("InvalidMessageContents", True)}))
    assert answer.outcomes[2] == Outcome(
        batch()[2], code="InvalidMessageContents", reason="InvalidMessageContents said so"
    )


@mock_aws
def test_against_moto_bodies_arrive_and_calls_are_metered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    client = boto3.client("sqs", region_name="us-west-1")
    url = client.create_queue(QueueName="q")["QueueUrl"]
    meter = Meter(client)
    answer = Sender(client, url).send(batch(10))
    assert meter.calls == {"sqs.SendMessageBatch": 1}
    got = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert {m["Body"] for m in got} == {m.body for m in batch(10)}
    assert {m["MessageId"] for m in got} == {o.sqs_id for o in answer.outcomes}


@mock_aws
def test_against_moto_a_queue_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    client = boto3.client("sqs", region_name="us-west-1")
    answer = Sender(client, "https://sqs.us-west-1.amazonaws.com/123456789012/none").send(batch())
    assert "NonExistentQueue" in answer.refusal
    assert "--queue-url" in answer.refusal


@mock_aws
def test_against_moto_what_is_too_large_for_the_queue_fails_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    client = boto3.client("sqs", region_name="us-west-1")
    attributes: Any = {"MaximumMessageSize": "2000"}
    url = client.create_queue(QueueName="q", Attributes=attributes)["QueueUrl"]
    fields = [{"note": "x"}, {"note": "x" * 3000}]
    mixed = list(islice(messages(1, lambda _: False, fields), 4))
    answer = Sender(client, url, sleep=lambda _: None).send(mixed)
    assert [bool(outcome.sqs_id) for outcome in answer.outcomes] == [True, False, True, False]
    assert not answer.refusal, "the queue takes others"
    assert "MaximumMessageSize" in answer.outcomes[1].reason
    assert "credentials" not in answer.outcomes[1].reason


def test_a_call_that_is_too_long_is_split_and_each_message_sent_once() -> None:
    client = Client(client_error("AWS.SimpleQueueService.BatchRequestTooLong", 400))
    answer, sleeps = run(client)
    assert client.calls == [["0", "1", "2"], ["0"], ["1"], ["2"]]
    assert told(answer) == ["sqs-0", "sqs-1", "sqs-2"]
    assert (answer.refusal, sleeps) == ("", [])


def test_an_entry_that_is_too_large_says_what_helps() -> None:
    said = "Reason: Message must be shorter than 2000 bytes."
    outcome = _failure(batch()[0], "InvalidParameterValue", said)
    assert outcome.reason == f"{said}; {send.SMALLER}"
