"""The calls to SQS: which pair is of use, what each answer means, what a message keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ConnectTimeoutError, NoCredentialsError
from botocore.stub import ANY, Stubber

from redrive.dead_letters import Records
from redrive.exits import RedriveError, RefusedError, explain
from redrive.queues import Answer, Pair, Queues, find_pair
from redrive.rules import Outgoing
from support.dead_letters import letter

URL = "https://sqs.us-west-1.amazonaws.com/123456789012/q"
ARN = "arn:aws:sqs:us-west-1:123456789012:q"
DLQ_URL, DLQ_ARN = f"{URL}-dlq", f"{ARN}-dlq"
PAIR = Pair(URL, ARN, DLQ_URL, DLQ_ARN, 1_048_576, max_receives=2, spends_receives=False)
POLICY = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": DLQ_ARN, "maxReceiveCount": 2})}
KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
Stub = tuple[Any, Stubber]


def client(service: str) -> Any:
    return boto3.client(service, region_name="us-west-1", **KEYS)  # type: ignore[call-overload]


@pytest.fixture
def stub() -> Iterator[Stub]:
    sqs = client("sqs")
    with Stubber(sqs) as stubber:
        yield sqs, stubber
        stubber.assert_no_pending_responses()


def describes(stubber: Stubber, url: str, **attributes: str) -> None:
    asked = {"QueueUrl": url, "AttributeNames": ["All"]}
    stubber.add_response("get_queue_attributes", {"Attributes": attributes}, asked)


def finds_dlq(stubber: Stubber, **attributes: str) -> None:
    asked = {"QueueName": "q-dlq", "QueueOwnerAWSAccountId": "123456789012"}
    stubber.add_response("get_queue_url", {"QueueUrl": DLQ_URL}, asked)
    describes(stubber, DLQ_URL, **attributes)


def allowing(permission: str, *sources: str) -> dict[str, str]:
    policy = {"redrivePermission": permission, "sourceQueueArns": list(sources)}
    return {"RedriveAllowPolicy": json.dumps(policy)}


def test_the_dlq_is_the_one_of_the_redrive_policy(stub: Stub) -> None:
    sqs, stubber = stub
    describes(stubber, URL, QueueArn=ARN, MaximumMessageSize="1048576", **POLICY)
    finds_dlq(stubber, **allowing("byQueue", ARN))
    assert find_pair(sqs, URL, "", insist=False) == PAIR


def test_a_dlq_with_a_dlq_of_its_own_is_told_of(stub: Stub) -> None:
    sqs, stubber = stub
    describes(stubber, URL, QueueArn=ARN, **POLICY)
    finds_dlq(stubber, RedrivePolicy="{}")
    found = find_pair(sqs, URL, DLQ_ARN, insist=False)
    assert found.spends_receives
    assert found.max_bytes == 262_144


def test_a_dlq_arn_of_another_queue_is_refused_unless_insisted_on(stub: Stub) -> None:
    sqs, stubber = stub
    describes(stubber, URL, QueueArn=ARN, **POLICY)
    with pytest.raises(RedriveError, match=f"DLQ_ARN names {ARN}-old, .* {DLQ_ARN}"):
        find_pair(sqs, URL, f"{ARN}-old", insist=False)
    describes(stubber, URL, QueueArn=ARN)
    finds_dlq(stubber)
    assert find_pair(sqs, URL, DLQ_ARN, insist=True).dlq_arn == DLQ_ARN


def test_a_queue_without_a_redrive_policy_is_refused(stub: Stub) -> None:
    sqs, stubber = stub
    describes(stubber, URL, QueueArn=ARN)
    with pytest.raises(RedriveError, match="no redrive policy"):
        find_pair(sqs, URL, "", insist=False)


@pytest.mark.parametrize(
    ("policy", "named"),
    [(allowing("denyAll"), "no queue"), (allowing("byQueue", f"{ARN}-2"), f"{ARN}-2")],
)
def test_a_dlq_that_takes_none_of_this_queue_is_refused(
    stub: Stub, policy: dict[str, str], named: str
) -> None:
    sqs, stubber = stub
    describes(stubber, URL, QueueArn=ARN)
    finds_dlq(stubber, **policy)
    with pytest.raises(RedriveError, match=f"admits {named}, not {ARN}"):
        find_pair(sqs, URL, DLQ_ARN, insist=True)


def test_a_fifo_queue_is_refused_with_the_reason(stub: Stub) -> None:
    sqs, _ = stub
    with pytest.raises(RedriveError, match=r"a FIFO queue\. .* order .* StartMessageMoveTask"):
        find_pair(sqs, f"{URL}.fifo", "", insist=False)


def outgoing(*ids: str, **changes: Any) -> list[Outgoing]:
    return [Outgoing(letter(sqs_id=key, handle=f"h-{key}", **changes), {}) for key in ids]


def sent(*places: int) -> list[dict[str, str]]:
    return [{"Id": str(n), "MessageId": f"n-{n}", "MD5OfMessageBody": "x"} for n in places]


def failed(place: int, code: str, *, fault: bool) -> dict[str, Any]:
    return {"Id": str(place), "Code": code, "SenderFault": fault, "Message": "said"}


def test_an_answer_in_parts(stub: Stub) -> None:
    sqs, stubber = stub
    refusals = [failed(1, "InvalidMessageContents", fault=True), failed(2, "Oops", fault=False)]
    stubber.add_response("send_message_batch", {"Successful": sent(0), "Failed": refusals})
    assert Queues(sqs, sqs, PAIR, 30).send(outgoing("a", "b", "c", "d")) == {
        "a": Answer(new_id="n-0"),
        "b": Answer("InvalidMessageContents: said"),
        "c": Answer("Oops: said", again=True),
        "d": Answer("the answer did not name it", again=True, unknown=True),
    }


@pytest.mark.parametrize("looks", [1, 2, 7])
@pytest.mark.parametrize(
    ("source", "most", "before", "shown"),
    [
        (ARN, 2, 2, 2),
        (ARN, 5, 5, 5),
        # Without the policy that moved it only this look is known to be one.
        *((ARN, 0, 3, None), ("arn:aws:sqs:us-west-1:123456789012:other", 2, 3, None)),
    ],
)
def test_looks_into_the_dlq_are_no_receives(
    stub: Stub, looks: int, source: str, most: int, before: int, shown: int | None
) -> None:
    sqs, stubber = stub
    count = {"ApproximateReceiveCount": str(before + looks)}
    system = {**count, "DeadLetterQueueSourceArn": source}
    raw = {"MessageId": "m-1", "ReceiptHandle": "h-1", "Body": "body", "Attributes": system}
    stubber.add_response("receive_message", {"Messages": [raw]})
    (found,) = Queues(sqs, sqs, replace(PAIR, max_receives=most), 30).receive(1)
    assert found.receives == (before + looks - 1 if shown is None else shown)


def test_a_message_keeps_its_attributes_its_trace_and_its_group(stub: Stub) -> None:
    sqs, stubber = stub
    attributes: dict[str, Any] = {"x": {"DataType": "Binary.z", "BinaryValue": b"\0\1"}}
    system = {"AWSTraceHeader": "Root=1-5759e988", "MessageGroupId": "tenant-7"}
    raw = {
        "MessageId": "m-1",
        "ReceiptHandle": "h-1",
        "Body": "body",
        "Attributes": {**system, "SentTimestamp": "12", "ApproximateReceiveCount": "3"},
        "MessageAttributes": attributes,
    }
    stubber.add_response("receive_message", {"Messages": [raw]})
    queues = Queues(sqs, sqs, PAIR, 30, clock=lambda: 100.0)
    (found,) = queues.receive(1)
    assert (found.sent, found.receives, found.deadline) == (12, 2, 130.0)
    entry = {
        "Id": "0",
        "MessageBody": "body",
        "MessageAttributes": attributes,
        "MessageSystemAttributes": {
            "AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988"}
        },
        "MessageGroupId": "tenant-7",
    }
    stubber.add_response(
        "send_message_batch",
        {"Successful": sent(0), "Failed": []},
        {"QueueUrl": URL, "Entries": [entry]},
    )
    queues.send([Outgoing(found, found.attributes)])


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("ThrottlingException", 400, Answer("ThrottlingException: said", again=True)),
        ("InternalError", 500, Answer("InternalError: said", again=True, unknown=True)),
        ("ServiceUnavailable", 503, Answer("ServiceUnavailable: said", again=True, unknown=True)),
    ],
)
def test_a_call_that_may_succeed_later(
    stub: Stub, code: str, status: int, expected: Answer
) -> None:
    sqs, stubber = stub
    stubber.add_client_error("send_message_batch", code, "said", status)
    assert Queues(sqs, sqs, PAIR, 30).send(outgoing("a", "b")) == {"a": expected, "b": expected}


def test_a_call_without_an_answer_may_have_been_carried_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sqs = client("sqs")

    def silent(**_: Any) -> None:
        raise ConnectTimeoutError(endpoint_url=URL)

    monkeypatch.setattr(sqs, "send_message_batch", silent)
    (answer,) = Queues(sqs, sqs, PAIR, 30).send(outgoing("a")).values()
    assert (answer.again, answer.unknown, answer.new_id) == (True, True, "")


@pytest.mark.parametrize("code", ["AccessDenied", "AWS.SimpleQueueService.NonExistentQueue"])
def test_a_call_that_is_refused_ends_the_run_with_advice(stub: Stub, code: str) -> None:
    sqs, stubber = stub
    stubber.add_client_error("send_message_batch", code, "said", 400)
    with pytest.raises(RefusedError, match=rf"{code}: said; "):
        Queues(sqs, sqs, PAIR, 30).send(outgoing("a"))


def test_deletes_answer_in_parts(stub: Stub) -> None:
    sqs, stubber = stub
    answers = {
        "Successful": [{"Id": "0"}],
        "Failed": [failed(1, "ReceiptHandleIsInvalid", fault=True)],
    }
    stubber.add_response("delete_message_batch", answers, {"QueueUrl": DLQ_URL, "Entries": ANY})
    found = Queues(sqs, sqs, PAIR, 30).delete([one.letter for one in outgoing("a", "b", "c")])
    assert found == {
        "a": Answer(),
        "b": Answer("ReceiptHandleIsInvalid: said"),
        "c": Answer("the answer did not name it", again=True),
    }


def test_give_back_is_in_tens_and_counts_what_was_refused(stub: Stub) -> None:
    sqs, stubber = stub
    for size in (10, 10, 3):
        entries = [
            {"Id": str(n), "ReceiptHandle": ANY, "VisibilityTimeout": 0} for n in range(size)
        ]
        refusals = [failed(0, "MessageNotInflight", fault=True)] if size == 3 else []
        stubber.add_response(
            "change_message_visibility_batch",
            {"Successful": [], "Failed": refusals},
            {"QueueUrl": DLQ_URL, "Entries": entries},
        )
    assert Queues(sqs, sqs, PAIR, 30).give_back([f"h-{n}" for n in range(23)]) == 1


def test_records_are_read_consistently_and_to_the_last_key() -> None:
    dynamodb = client("dynamodb")
    row = {
        "message_id": {"S": "a"},
        "status": {"S": "FAILED"},
        "reason": {"S": "no"},
        "digest": {"S": "d"},
    }
    rest = {"t": {"Keys": [{"message_id": {"S": "b"}}], "ConsistentRead": True}}
    with Stubber(dynamodb) as stubber:
        stubber.add_response("batch_get_item", {"Responses": {"t": [row]}, "UnprocessedKeys": rest})
        stubber.add_response(
            "batch_get_item",
            {"Responses": {"t": []}, "UnprocessedKeys": {}},
            {"RequestItems": rest},
        )
        slept: list[float] = []
        found = Records(dynamodb, "t", slept.append).of(["a", "b", "a"])
        stubber.assert_no_pending_responses()
    assert {key: (r.status, r.reason, r.digest) for key, r in found.items()} == {
        "a": ("FAILED", "no", "d")
    }
    assert slept


def test_keys_that_are_never_read_are_an_error() -> None:
    dynamodb = client("dynamodb")
    rest = {"t": {"Keys": [{"message_id": {"S": "a"}}]}}
    with Stubber(dynamodb) as stubber:
        for _ in range(6):
            stubber.add_response("batch_get_item", {"Responses": {}, "UnprocessedKeys": rest})
        with pytest.raises(RedriveError, match="left keys unread"):
            Records(dynamodb, "t", lambda _: None).of(["a"])


def test_errors_come_with_advice() -> None:
    assert "set AWS_PROFILE" in explain(NoCredentialsError())
    assert explain(RedriveError("said")) == "said"
