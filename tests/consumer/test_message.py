"""Whatever a body is, it has an id that can be a key, and the same one at each delivery."""

import hashlib
import json

import pytest

from support.doubles import a_message
from worker.message import KEY_BYTES, delivery_of, digest_of, message_id, waves

SQS_ID = "5fea7756-0ea4-451a-a703-a558b933e274"


def sha(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"id": "order-7"}', "order-7"),
        ('{"id": " "}', " "),
        ('{"id": "Ünïcödé-✓"}', "Ünïcödé-✓"),
        ('{"id": "a\\nb"}', "a\nb"),
        ('{"id": 7}', "7"),
        ('{"id": 0}', "0"),
        ('{"id": -12}', "-12"),
        ('{"id": "first", "id": "second"}', "second"),
        (json.dumps({"id": "x" * KEY_BYTES}), "x" * KEY_BYTES),
        (json.dumps({"id": "é" * (KEY_BYTES // 2)}), "é" * (KEY_BYTES // 2)),
    ],
)
def test_a_usable_id_is_the_payloads_own(body: str, expected: str) -> None:
    assert message_id(body, SQS_ID) == expected


@pytest.mark.parametrize(
    ("body", "own"),
    [
        (json.dumps({"id": "x" * (KEY_BYTES + 1)}), "x" * (KEY_BYTES + 1)),
        (json.dumps({"id": "é" * (KEY_BYTES // 2) + "x"}), "é" * (KEY_BYTES // 2) + "x"),
        ('{"id": ' + "9" * 4300 + "}", "9" * 4300),
        ('{"id": "outbox#07"}', "outbox#07"),
    ],
)
def test_an_id_that_is_too_long_or_reserved_is_its_hash(body: str, own: str) -> None:
    found = message_id(body, SQS_ID)
    assert found == sha(own)
    assert len(found.encode()) <= KEY_BYTES


@pytest.mark.parametrize(
    "body",
    [
        '{"id": null}',
        '{"id": ""}',
        '{"id": []}',
        '{"id": ["order-7"]}',
        '{"id": {"a": 1}}',
        '{"id": true}',
        '{"id": false}',
        '{"id": 1.5}',
        '{"id": 7.0}',
        '{"id": 1e3}',
        '{"id": NaN}',
        '{"id": Infinity}',
        '{"id": "\\ud800"}',
        '{"id": "order-\\udfff-7"}',
        '{"id": ' + "9" * 5000 + "}",
        '{"ID": "order-7"}',
        '{"work": 1}',
        "{}",
        "[]",
        '[{"id": "order-7"}]',
        '"order-7"',
        "7",
        "null",
        "true",
        "",
        " ",
        "not JSON",
        '{"id": "order-7"',
        '{"id": "order-7"} and more',
        "\ufeff{}",
        "\ud800",
        "<id>7</id>",
        "[" * 100_000,
        '{"id": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a":' * 100_000 + "1" + "}" * 100_000,
    ],
)
def test_without_a_usable_id_the_message_id_stands_in(body: str) -> None:
    assert message_id(body, SQS_ID) == SQS_ID


def test_a_digest_is_the_sha256_of_the_bytes_sent() -> None:
    assert digest_of("é") == hashlib.sha256("é".encode()).hexdigest()


def test_a_lone_surrogate_has_a_digest_of_its_own() -> None:
    assert len({digest_of("\ud800"), digest_of("\ud801"), digest_of("?")}) == 3


def test_a_delivery_is_12_hex_digits_that_differ_by_handle() -> None:
    assert len(delivery_of("a")) == 12
    int(delivery_of("a"), 16)
    assert delivery_of("a") != delivery_of("b")


def test_names_are_what_an_event_carries() -> None:
    message = a_message("m-1")
    assert message.names == {"id": "m-1", "sqs_id": "sqs-m-1", "delivery": message.delivery}
    assert message.handle not in message.names.values()


def test_waves_hold_each_id_once_and_keep_every_delivery_in_order() -> None:
    batch = [a_message(name) for name in ("a", "b", "a", "c", "a", "b")]
    split = list(waves(batch))
    assert [[message.id for message in wave] for wave in split] == [
        ["a", "b", "c"],
        ["a", "b"],
        ["a"],
    ]
    assert [message for wave in split for message in wave if message.id == "a"] == [
        message for message in batch if message.id == "a"
    ]


def test_no_messages_make_no_wave() -> None:
    assert list(waves([])) == []
