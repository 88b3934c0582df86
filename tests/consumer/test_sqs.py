"""What SQS answers becomes an answer for each message; only a receive may raise."""

import json
import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import boto3
import pytest
from moto import mock_aws

from sqs_worker.ports import Deletion, InboxDown, QueueFacts
from sqs_worker.sqs import SqsQueue, call_timeout
from support.fakes import FakeTime, a_message, no_answer, refusal

URL = "https://sqs.us-west-1.amazonaws.com/123456789012/queue"


@pytest.fixture
def sqs() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client(
            "sqs", region_name="us-west-1", aws_access_key_id="t", aws_secret_access_key="t"
        )


FROM_SQS = {"ResponseMetadata": {"RequestId": "r-1"}}
HTML = {"ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {"content-type": "text/html"}}}
"""What botocore makes of a page that somebody else answers with."""


class ScriptedSqs:
    """An SQS client that gives the answers it was told and keeps what it was asked.

    With no answer left, a receive brings nothing and each entry of a batch succeeds.
    """

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def then(self, *answers: Any) -> None:
        self._answers += answers

    def receive_message(self, **request: Any) -> Any:
        return self._call("receive", request)

    def delete_message_batch(self, **request: Any) -> Any:
        return self._call("delete", request)

    def change_message_visibility_batch(self, **request: Any) -> Any:
        return self._call("change", request)

    def get_queue_attributes(self, **request: Any) -> Any:
        return self._call("attributes", request)

    def _call(self, name: str, request: dict[str, Any]) -> Any:
        self.asked.append((name, request))
        if not self._answers:
            done = [{"Id": entry["Id"]} for entry in request.get("Entries", ())]
            return FROM_SQS | {"Successful": done}
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer


def inbox(client: Any, visibility: int | None = None, url: str = URL) -> SqsQueue:
    return SqsQueue(client, lambda _: client, url, visibility)


def partly(*failed: tuple[int, str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The answer to a batch of which these entries failed with these codes."""

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        places = {place for place, _ in failed}
        done = [{"Id": one["Id"]} for one in request["Entries"] if int(one["Id"]) not in places]
        return {"Successful": done, "Failed": [{"Id": str(i), "Code": c} for i, c in failed]}

    return answer


def brought(*messages: Any) -> dict[str, Any]:
    """The answer to a receive."""
    return FROM_SQS | {"Messages": list(messages)}


def raw(name: str, **more: Any) -> dict[str, Any]:
    """A message as SQS gives it; None takes a field away."""
    whole = {"MessageId": name, "ReceiptHandle": f"handle-{name}", "Body": "{}", **more}
    return {field: value for field, value in whole.items() if value is not None}


class TestReceive:
    def test_a_message_has_everything_that_the_path_needs(self, sqs: Any) -> None:
        attributes = {"VisibilityTimeout": "7"}
        url = sqs.create_queue(QueueName="q", Attributes=attributes)["QueueUrl"]
        sent = sqs.send_message(QueueUrl=url, MessageBody='{"id": "order-7"}')
        box = inbox(sqs, url=url)
        box.facts()
        (message,) = box.receive(10, 0)
        assert message.id == "order-7"
        assert message.sqs_id == sent["MessageId"]
        assert message.body == '{"id": "order-7"}'
        assert message.receive_count == 1
        assert message.sent == pytest.approx(time.time(), abs=60)
        assert message.visible_at == pytest.approx(time.time() + 7, abs=2)
        assert message.deadline == pytest.approx(time.monotonic() + 7, abs=2)

    def test_an_sns_envelope_is_named_once_with_its_remedy(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        envelope = {"Type": "Notification", "TopicArn": "arn:aws:sns:x:1:t", "Message": "{}"}
        bodies = ["no JSON", '{"id": "TopicArn"}', json.dumps(envelope), json.dumps(envelope)]
        answer = brought(*(raw(f"m{n}", Body=text) for n, text in enumerate(bodies)))
        inbox(ScriptedSqs(answer), 30).receive(10, 0)
        (warning,) = caplog.messages
        assert warning.startswith("message m2 is an SNS envelope")
        assert "enable raw message delivery on the SNS subscription" in warning

    def test_a_second_delivery_is_another_delivery_of_the_same_message(self, sqs: Any) -> None:
        attributes = {"VisibilityTimeout": "30"}
        url = sqs.create_queue(QueueName="q", Attributes=attributes)["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody="no JSON")
        box = inbox(sqs, visibility=0, url=url)
        first, second = box.receive(1, 0) + box.receive(1, 0)
        assert first.id == second.id == first.sqs_id
        assert first.delivery != second.delivery
        assert second.receive_count == 2

    @pytest.mark.parametrize(("limit", "asked"), [(1, 1), (10, 10), (64, 10)])
    def test_the_request(self, limit: int, asked: int) -> None:
        client = ScriptedSqs()
        assert inbox(client).receive(limit, 20) == []
        ((_, request),) = client.asked
        assert request["QueueUrl"] == URL
        assert request["MaxNumberOfMessages"] == asked
        assert request["WaitTimeSeconds"] == 20
        assert set(request["MessageSystemAttributeNames"]) == {
            "ApproximateReceiveCount",
            "SentTimestamp",
        }

    @pytest.mark.parametrize("visibility", [0, 1, 43_200])
    def test_a_visibility_of_ones_own_is_sent_even_when_it_is_0(self, visibility: int) -> None:
        client = ScriptedSqs()
        inbox(client, visibility).receive(1, 0)
        assert client.asked[0][1]["VisibilityTimeout"] == visibility

    def test_the_timeout_found_at_the_start_is_sent_with_each_receive(self, sqs: Any) -> None:
        """The queue's own is lowered meanwhile, and the heartbeat still counts on the old one."""
        url = sqs.create_queue(QueueName="q", Attributes={"VisibilityTimeout": "20"})["QueueUrl"]
        box = inbox(sqs, url=url)
        assert box.facts().visibility == 20
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "0"})
        sqs.send_message(QueueUrl=url, MessageBody="x")
        assert len(box.receive(1, 0)) == 1
        assert box.receive(1, 0) == []

    @pytest.mark.parametrize("answer", [{}, HTML])
    def test_an_answer_that_is_not_from_sqs_is_not_an_empty_queue(
        self, answer: dict[str, Any]
    ) -> None:
        with pytest.raises(InboxDown, match=URL):
            inbox(ScriptedSqs(answer)).receive(1, 0)

    @pytest.mark.parametrize(
        "answer",
        [
            FROM_SQS,
            {"ResponseMetadata": {"HTTPHeaders": {"content-type": "application/x-amz-json-1.0"}}},
        ],
    )
    def test_an_empty_answer_from_sqs_is_an_empty_queue(self, answer: dict[str, Any]) -> None:
        assert inbox(ScriptedSqs(answer)).receive(1, 0) == []

    @pytest.mark.parametrize("field", ["MessageId", "ReceiptHandle", "Body"])
    @pytest.mark.parametrize("value", [None, 5, {}])
    def test_a_message_that_lacks_a_part_does_not_cost_the_others_theirs(
        self, field: str, value: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = brought(raw("a"), raw("torn", **{field: value}), raw("b"))
        found = inbox(ScriptedSqs(answer)).receive(10, 0)
        assert [message.sqs_id for message in found] == ["a", "b"]
        assert f"SQS returned a message without {field}" in caplog.text

    def test_nor_does_an_entry_that_is_nothing_or_has_odd_attributes(self) -> None:
        odd = {"ApproximateReceiveCount": "often", "SentTimestamp": "-"}
        answer = brought(None, raw("a", Attributes=odd))
        (message,) = inbox(ScriptedSqs(answer)).receive(10, 0)
        assert (message.sqs_id, message.receive_count, message.sent) == ("a", 1, 0)

    @pytest.mark.parametrize(
        "error",
        [
            no_answer(),
            FileNotFoundError("a token file that is away while it is renewed"),
            AttributeError("'list' object has no attribute 'get'"),
            refusal("AWS.SimpleQueueService.NonExistentQueue"),
            refusal("OverLimit"),
            refusal("AccessDenied"),
        ],
    )
    def test_any_error_means_that_the_queue_is_down(self, error: Exception) -> None:
        with pytest.raises(InboxDown, match=URL) as caught:
            inbox(ScriptedSqs(error)).receive(1, 0)
        assert caught.value.__cause__ is error


class TestLateAnswers:
    """The visibility timeout runs from the answer of SQS, not from its arrival here."""

    VISIBILITY, AHEAD = 6, 1_700_000_000.37

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> FakeTime:
        clock = FakeTime()
        monkeypatch.setattr("sqs_worker.sqs.time", clock)
        return clock

    def received(
        self, clock: FakeTime, there: float, back: float, *, date: bool = True, wait: int = 20
    ) -> tuple[float, float]:
        """Seconds of visibility left on arrival of a message that SQS gave after `there` seconds,
        by the deadline and by `visible_at`."""

        def answer(seconds: float, way: float) -> Callable[[Any], Any]:
            def give(_: Any) -> Any:
                clock.now += seconds
                stamp = datetime.fromtimestamp(clock.now + self.AHEAD, UTC)
                header = {"date": format_datetime(stamp, usegmt=True)} if date else {}
                sent = {"SentTimestamp": str(int((clock.now + self.AHEAD) * 1000) - 60_000)}
                clock.now += way
                metadata = {"RequestId": "r", "HTTPHeaders": header}
                return brought(raw("m", Attributes=sent)) | {"ResponseMetadata": metadata}

            return give

        quick = [answer(0.01, 0.01) for _ in range(50)]
        box = inbox(ScriptedSqs(*quick, answer(there, back)), self.VISIBILITY)
        for _ in quick:
            box.receive(1, wait)
            clock.now += 1.01
        (message,) = box.receive(1, wait)
        return message.deadline - clock.now, message.visible_at - clock.time()

    def test_an_answer_that_is_late_is_known_as_such(self, clock: FakeTime) -> None:
        left, shown = self.received(clock, 0.01, 4)
        assert 0.8 <= left <= 2.01
        assert shown == pytest.approx(left, abs=0.01)

    def test_a_message_that_comes_late_in_a_long_poll_is_not(self, clock: FakeTime) -> None:
        left, _ = self.received(clock, 19, 0.01)
        assert self.VISIBILITY - 1.2 <= left <= self.VISIBILITY

    def test_the_first_answer_of_all_counts_from_its_request(self, clock: FakeTime) -> None:
        """Until another answer tells the clocks apart, it may have been on its way all the time."""
        message = raw("m")
        date = {"HTTPHeaders": {"date": "Tue, 14 Nov 2023 22:13:20 GMT"}}

        def late(_: Any) -> Any:
            clock.now += 4
            return brought(message) | {"ResponseMetadata": date | {"RequestId": "r"}}

        (found,) = inbox(ScriptedSqs(late), self.VISIBILITY).receive(1, 20)
        assert found.deadline == pytest.approx(clock.now - 4 + self.VISIBILITY)

    def test_what_was_sent_during_the_poll_was_hidden_after_that(self, clock: FakeTime) -> None:
        """SentTimestamp counts milliseconds, where a Date counts seconds."""

        def answer(_: Any) -> Any:
            clock.now += 3
            sent = {"SentTimestamp": str(int((clock.now + self.AHEAD) * 1000))}
            stamp = datetime.fromtimestamp(clock.now + self.AHEAD, UTC)
            header = {"date": format_datetime(stamp, usegmt=True)}
            metadata = {"RequestId": "r", "HTTPHeaders": header}
            return brought(raw("m", Attributes=sent)) | {"ResponseMetadata": metadata}

        box = inbox(ScriptedSqs(answer), self.VISIBILITY)
        for number in range(60):  # what facts, deletes and extensions tell
            now = clock.now + number * 1.03
            box._clock.note(now, now + 0.01, math.floor(now + self.AHEAD))
        (message,) = box.receive(1, 20)
        assert message.deadline == pytest.approx(clock.now + self.VISIBILITY, abs=0.1)

    @pytest.mark.parametrize(
        ("wait", "there", "back", "left"), [(0, 0, 4, 2), (20, 19, 0, 6), (20, 20, 4, 2)]
    )
    def test_without_a_date_the_end_of_the_poll_counts(
        self, clock: FakeTime, wait: int, there: float, back: float, left: float
    ) -> None:
        found, _ = self.received(clock, there, back, date=False, wait=wait)
        assert found == pytest.approx(left)

    @pytest.mark.parametrize("text", ["", "soon", "Fri, 99 Nov 2026 13:49:21 GMT"])
    def test_a_date_that_is_none_is_no_error(self, text: str) -> None:
        metadata = {"RequestId": "r", "HTTPHeaders": {"date": text}}
        answer = brought(raw("m")) | {"ResponseMetadata": metadata}
        assert len(inbox(ScriptedSqs(answer), 5).receive(1, 0)) == 1


class TestFacts:
    def test_they_come_from_the_queue(self, sqs: Any) -> None:
        dead = sqs.create_queue(QueueName="dlq")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
        policy = f'{{"deadLetterTargetArn": "{arn["QueueArn"]}", "maxReceiveCount": "2"}}'
        url = sqs.create_queue(
            QueueName="q", Attributes={"VisibilityTimeout": "11", "RedrivePolicy": policy}
        )["QueueUrl"]
        assert inbox(sqs, url=url).facts() == QueueFacts(visibility=11, max_receives=2)
        assert inbox(sqs, visibility=3, url=url).facts() == QueueFacts(3, 2)
        assert inbox(sqs, visibility=0, url=url).facts() == QueueFacts(0, 2)

    def test_a_queue_without_a_dlq(self, sqs: Any) -> None:
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        assert inbox(sqs, url=url).facts() == QueueFacts(30, None)

    @pytest.mark.parametrize(
        ("answer", "passing"),
        [
            ({}, False),
            (HTML, False),
            (FROM_SQS | {"Attributes": {}}, False),
            (FROM_SQS | {"Attributes": {"VisibilityTimeout": "soon"}}, False),
            (FROM_SQS | {"Attributes": {"VisibilityTimeout": "5", "RedrivePolicy": "{}"}}, False),
            (FROM_SQS | {"Attributes": {"VisibilityTimeout": "5", "RedrivePolicy": "<"}}, False),
            (refusal("AccessDenied"), False),
            (no_answer(), True),
        ],
    )
    @pytest.mark.parametrize("visibility", [None, 5])
    def test_an_answer_without_them_names_the_queue_and_whether_it_may_pass(
        self, answer: Any, passing: bool, visibility: int | None
    ) -> None:
        with pytest.raises(InboxDown, match=URL) as caught:
            inbox(ScriptedSqs(answer), visibility).facts()
        assert caught.value.passing is passing


class TestDelete:
    def test_it_deletes(self, sqs: Any) -> None:
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        for number in range(3):
            sqs.send_message(QueueUrl=url, MessageBody=str(number))
        box = inbox(sqs, visibility=0, url=url)
        assert box.delete(box.receive(10, 0)) == [Deletion.DELETED] * 3
        assert box.receive(10, 0) == []

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("ReceiptHandleIsInvalid", Deletion.STALE),
            ("InvalidParameterValue", Deletion.STALE),
            ("MessageNotInflight", Deletion.STALE),
            ("InternalError", Deletion.UNKNOWN),
            ("AccessDenied", Deletion.UNKNOWN),
            ("SomethingNew", Deletion.UNKNOWN),
        ],
    )
    def test_an_entry_that_fails_is_an_answer_for_its_message_alone(
        self, code: str, expected: Deletion
    ) -> None:
        batch = [a_message(name) for name in "abc"]
        box = inbox(ScriptedSqs(partly((1, code))))
        assert box.delete(batch) == [Deletion.DELETED, expected, Deletion.DELETED]

    @pytest.mark.parametrize("error", [no_answer(), refusal("AccessDenied"), refusal("Throttled")])
    def test_a_call_that_fails_as_a_whole_is_unknown_for_each(self, error: Exception) -> None:
        batch = [a_message(name) for name in "abc"]
        assert inbox(ScriptedSqs(error)).delete(batch) == [Deletion.UNKNOWN] * 3

    @pytest.mark.parametrize(
        ("answer", "second"),
        [
            ({"Successful": [{"Id": "0"}, {"Id": "2"}], "Failed": []}, Deletion.UNKNOWN),
            ({"Successful": [{"Id": "0"}, {"Id": "2"}, {"Id": "7"}, None, {}]}, Deletion.UNKNOWN),
            ({"Successful": [{"Id": str(n)} for n in range(3)]}, Deletion.DELETED),
            (
                {
                    "Successful": [{"Id": str(n)} for n in range(3)],
                    "Failed": [{"Id": "1"}, {"Id": "9", "Code": "X"}, {}],
                },
                Deletion.UNKNOWN,
            ),
        ],
    )
    def test_only_what_the_answer_names_is_done(
        self, answer: dict[str, Any], second: Deletion
    ) -> None:
        batch = [a_message(name) for name in "abc"]
        box = inbox(ScriptedSqs(answer, answer))
        assert box.delete(batch) == [Deletion.DELETED, second, Deletion.DELETED]
        assert box.extend(batch, 5) == [True, second is Deletion.DELETED, True]

    @pytest.mark.parametrize("answer", [{}, HTML, FROM_SQS])
    def test_an_answer_without_outcomes_does_nothing(self, answer: dict[str, Any]) -> None:
        batch = [a_message(name) for name in "abc"]
        box = inbox(ScriptedSqs(answer, answer, answer))
        assert box.delete(batch) == [Deletion.UNKNOWN] * 3
        assert box.extend(batch, 5) == [False] * 3
        assert box.release(batch) == [False] * 3

    def test_more_than_ten_are_several_calls_that_fail_each_for_itself(self) -> None:
        batch = [a_message(f"m-{n}") for n in range(23)]
        client = ScriptedSqs(partly((9, "ReceiptHandleIsInvalid")), no_answer(), partly((2, "X")))
        found = inbox(client).delete(batch)
        expected = [Deletion.DELETED] * 23
        expected[9] = Deletion.STALE
        expected[10:20] = [Deletion.UNKNOWN] * 10
        expected[22] = Deletion.UNKNOWN
        assert found == expected
        entries = [request["Entries"] for _, request in client.asked]
        assert [len(part) for part in entries] == [10, 10, 3]
        handles = [entry["ReceiptHandle"] for part in entries for entry in part]
        assert handles == [message.handle for message in batch]
        assert all(len({entry["Id"] for entry in part}) == len(part) for part in entries)

    def test_none_is_no_call(self) -> None:
        client = ScriptedSqs()
        assert inbox(client).delete([]) == []
        assert client.asked == []


class TestTimeouts:
    @pytest.mark.parametrize(
        ("visibility", "seconds"),
        [(0, 1), (2, 1), (6, 1), (12, 2), (30, 5), (43_200, 5)],
    )
    def test_two_tries_take_a_third_of_the_visibility_timeout(
        self, visibility: int, seconds: float
    ) -> None:
        assert call_timeout(visibility) == seconds

    def test_only_a_receive_waits_as_long_as_a_long_poll(self) -> None:
        receiver, others = ScriptedSqs(), ScriptedSqs()
        others.then(FROM_SQS | {"Attributes": {"VisibilityTimeout": "12"}})
        connected: list[float] = []
        box = SqsQueue(receiver, lambda seconds: connected.append(seconds) or others, URL, None)  # type: ignore[arg-type,func-returns-value]
        box.facts()
        box.receive(1, 20)
        box.delete([a_message()])
        box.extend([a_message()], 5)
        box.release([a_message()])
        assert connected == [5, 2]
        assert [name for name, _ in receiver.asked] == ["receive"]
        assert [name for name, _ in others.asked] == ["attributes", "delete", "change", "change"]


class TestVisibility:
    def test_a_released_message_is_there_at_once(self, sqs: Any) -> None:
        url = sqs.create_queue(QueueName="q", Attributes={"VisibilityTimeout": "30"})["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody="x")
        box = inbox(sqs, url=url)
        batch = box.receive(1, 0)
        assert box.receive(1, 0) == []
        assert box.release(batch) == [True]
        assert len(box.receive(1, 0)) == 1

    def test_an_extended_message_stays_away(self, sqs: Any) -> None:
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody="x")
        box = inbox(sqs, url=url, visibility=30)
        assert box.extend(box.receive(1, 0), 60) == [True]
        assert box.receive(1, 0) == []

    def test_seconds_are_sent_with_each_entry(self) -> None:
        client = ScriptedSqs()
        inbox(client).extend([a_message("a"), a_message("b")], 45)
        inbox(client).release([a_message("c")])
        sent = [
            [entry["VisibilityTimeout"] for entry in request["Entries"]]
            for _, request in client.asked
        ]
        assert sent == [[45, 45], [0]]

    def test_a_refusal_is_false_for_its_message_and_an_error_for_all(self) -> None:
        batch = [a_message(name) for name in "abc"]
        box = inbox(ScriptedSqs(partly((0, "MessageNotInflight")), no_answer()))
        assert box.extend(batch, 5) == [False, True, True]
        assert box.release(batch) == [False] * 3
