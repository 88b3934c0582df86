"""Any body that a queue takes, and some that it does not: the consumer lives, nothing is lost."""

import json
import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from consumer.integration.support import QUICK, Journal
from sqs_worker.message import KEY_BYTES, digest_of, message_id
from support.waiting import wait_for

XML = st.characters(
    exclude_categories=["Cs"],
    exclude_characters="".join(map(chr, [*range(9), 11, 12]))
    + "".join(map(chr, range(14, 32)))
    + "\ufffe\uffff",
)  # what SQS accepts in a body (quirk 7)
SCALAR = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([10**400, -(10**30), "x" * 2048, "x" * 2049, "é" * 1025, "", " ", "a\nb"])
)  # fmt: skip
ID = (
    SCALAR | st.lists(SCALAR, max_size=2) | st.dictionaries(st.text(max_size=3), SCALAR, max_size=2)
)
TREE = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner)
)
PAYLOAD = st.builds(
    lambda own, rest: json.dumps({**rest, "id": own}),
    ID,
    st.dictionaries(st.text(max_size=5), TREE, max_size=2),
)
WRITTEN = st.sampled_from(
    [
        '{"id": NaN}',
        '{"id": Infinity}',
        '{"id": 1e400}',
        '{"id": "a", "id": "b"}',
        '{"id": "\\ud800"}',
        '{"id": "\\u0000"}',
        '{"id": "\\ud83d\\ude00"}',
        '{"id": "<script>alert(1)</script>"}',
        '{"id": "x\\r\\n2026-01-01 ERROR forged"}',
        '{"\\ud800": 1}',
        '{"id": ' + "7" * 5000 + "}",
        "[" * 30_000,
        '{"a":' * 5_000,
        "\ufeff{}",
        "null",
        '"id"',
        "0" * 100,
    ]
)
MIB = 1024 * 1024
MARKER = "forged"
SETTINGS = {
    "IDLE_TIMEOUT_SECONDS": "0",
    "MAX_MESSAGES": "10",
    "COMMIT_BATCH": "10",
    "CONCURRENCY": "2",
    "USE_TRANSACTIONAL_WRITES": "1",
    "REJECT_PAYLOAD_MARKER": MARKER,
}
BODY = st.one_of(PAYLOAD, WRITTEN, TREE.map(json.dumps), st.text(XML, min_size=1, max_size=60))
RELAXED = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@settings(RELAXED, max_examples=150)
@given(body=BODY | st.text(max_size=40) | st.binary(max_size=40).map(lambda b: b.decode("latin-1")))
@example(body='{"id": "\\udfff"}')
@example(body="\ud800")
def test_every_body_has_an_id_that_can_be_a_key_and_a_digest(body) -> None:
    found = message_id(body, "sqs-id")
    assert found
    assert len(found.encode()) <= KEY_BYTES
    assert message_id(body, "sqs-id") == found
    assert len(digest_of(body)) == 64


def _send(made, bodies: list[str], sent: dict[str, str]) -> None:
    """Send ten; keeps the id that each has. A body that the queue refuses was not sent."""
    entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)]
    answer = made.sqs.send_message_batch(QueueUrl=made.queue_url, Entries=entries)
    for entry in answer.get("Successful", ()):
        sent[entry["MessageId"]] = bodies[int(entry["Id"])]


def _mutants(body: str, dice: random.Random) -> Iterator[str]:
    """The body, and what becomes of it when a piece is cut, doubled, moved or replaced."""
    yield body
    for _ in range(4):
        begin, end = sorted(dice.randrange(len(body) + 1) for _ in "ab")
        piece = body[begin:end][:1000]
        yield (
            dice.choice(
                [
                    body[:begin] + body[end:],
                    body[:end] + piece + body[end:],
                    piece + body,
                    body[:begin]
                    + dice.choice(['"', "{", "\\u0000", "\\ud800", "9" * 30, "é"])
                    + body[end:],
                ]
            )
            or "empty"
        )


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(300)
def test_10_000_bodies_through_a_real_queue(start_consumer, queue_set, tmp_path) -> None:
    """Some are rejected by the marker, so that the DLQ has its part; one in 500 has 1 MiB."""
    made, journal = queue_set(visibility=5), Journal(tmp_path / "journal")
    consumer = start_consumer({**made.env, **QUICK, **journal.env, **SETTINGS})
    sent: dict[str, str] = {}

    @settings(RELAXED, max_examples=200, database=None)
    @given(bodies=st.lists(BODY, min_size=10, max_size=10), dice=st.randoms())
    def send(bodies: list[str], dice: random.Random) -> None:
        ten: list[str] = []
        for body in bodies:
            ten += _mutants(body, dice)
        for start in range(0, len(ten), 10):
            _send(made, ten[start : start + 10], sent)
        assert consumer.running(), consumer.output

    while len(sent) < 10_000:
        send()
    for _ in range(20):
        _send(made, ["y" * MIB], sent)
    _send(made, ['{"id": "' + "z" * (MIB - 10) + '"}'], sent)

    def gone() -> bool:
        assert consumer.running(), consumer.output
        return made.depth() == 0

    wait_for(gone, 120, "an empty queue")
    consumer.signal()
    ended = consumer.wait()
    assert (ended.code, "Traceback" in ended.output) == (0, False), ended.output
    assert not [line for line in ended.output.splitlines() if line.startswith("2026-01-01")]
    _judge(made, sent)


def _judge(made, sent: dict[str, str]) -> None:
    """Completed or in the DLQ; there, only what was rejected or came second with an id in use."""
    done, dead = made.completed_rows(), {message["MessageId"] for message in made.dlq_messages()}
    ids = {one: message_id(body, one) for one, body in sent.items()}
    lost = [one for one in sent if ids[one] not in done and one not in dead]
    assert not lost, [sent[one][:200] for one in lost[:5]]
    rows = made.status_rows()
    assert {rows[key]["effects"] for key in done} == {1}
    assert {row.get("effects", 0) for key, row in rows.items() if key not in done} <= {0}
    bodies: dict[str, set[str]] = {}
    for one, body in sent.items():
        bodies.setdefault(ids[one], set()).add(body)
    for one in dead & sent.keys():
        assert MARKER in sent[one] or len(bodies[ids[one]]) > 1, sent[one][:200]
    assert any(MARKER in sent[one] for one in dead & sent.keys())
