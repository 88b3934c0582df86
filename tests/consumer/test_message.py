"""Whatever a body is, it has an id that can be a key, and the same one at each delivery."""

import hashlib
import json

import pytest

from sqs_worker.message import (
    KEY_BYTES,
    Identity,
    delivery_of,
    digest_of,
    identity_of,
    is_same_body,
    message_id,
    waves,
)
from support.fakes import a_message

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
        ('\ufeff{"id": "order-7"}', "order-7"),
        ('{"id": "\ufefforder-7"}', "\ufefforder-7"),
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
        ('{"id": "key#a"}', "key#a"),
        ('{"id": "sha256:"}', "sha256:"),
        (json.dumps({"id": sha("x" * (KEY_BYTES + 1))}), sha("x" * (KEY_BYTES + 1))),
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
        '\ufeff\ufeff{"id": "order-7"}',
        '{"id": "order-7"}\ufeff',
        "\ud800",
        "<id>7</id>",
        "[" * 100_000,
        '{"id": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a":' * 100_000 + "1" + "}" * 100_000,
    ],
)
def test_without_a_usable_id_the_message_id_stands_in(body: str) -> None:
    assert message_id(body, SQS_ID) == SQS_ID


def test_no_id_is_taken_for_a_long_one() -> None:
    long = "x" * (KEY_BYTES + 1)
    ids = [long]
    for _ in range(3):
        ids.append(message_id(json.dumps({"id": ids[-1]}), SQS_ID))
    assert len(set(ids)) == 4


SAME = [
    '{"id": "a", "work": 1, "o": {"x": "é", "y": [1, 2]}}',
    '{"o":{"y":[1,2],"x":"\\u00e9"},"work":1.0,"id":"\\u0061"}',
    '\ufeff{"id": "a", "work": 1e0, "o": {"x": "é", "y": [1, 2]}}',
]


def test_the_same_json_is_the_same_body_in_whatever_form() -> None:
    known = [identity_of(body, SQS_ID) for body in SAME]
    assert {one.id for one in known} == {"a"}
    assert len({one.canonical for one in known}) == 1
    assert [one.digest for one in known] == [digest_of(body) for body in SAME]


@pytest.mark.parametrize(
    "other",
    [
        '{"id": "a", "work": 2}',
        '{"id": "a", "work": "1"}',
        '{"id": "a", "work": true}',
        '{"id": "a", "work": [1]}',
        '{"id": "a", "work": 1.0000000000000000001}',
        '{"id": "a", "work": 1, "more": null}',
    ],
)
def test_other_json_is_another_body(other: str) -> None:
    one, other_one = (identity_of(body, SQS_ID) for body in ('{"id": "a", "work": 1}', other))
    assert one.id == other_one.id
    assert one.canonical
    assert other_one.canonical
    assert one.canonical != other_one.canonical


@pytest.mark.parametrize(
    "body", ["", "not JSON", '{"id": "a", "x": NaN}', '{"id": "a", "x": 1e400}', "[" * 100_000]
)
def test_what_has_no_canonical_json_is_known_by_its_text(body: str) -> None:
    known = identity_of(body, SQS_ID)
    assert known == Identity(message_id(body, SQS_ID), digest_of(body))
    assert is_same_body(known, digest_of(body), "")
    assert not is_same_body(known, "another", "another:another")


@pytest.mark.parametrize(
    ("digest", "canonical_digest", "same"),
    [
        ("", "", True),
        ("d", "", True),
        ("x", "", False),
        ("x", "x:c", True),
        ("d", "d:c", True),
        ("d", "d:x", False),  # the same text, as doubles, of another payload under a business key
        ("x", "d:c", False),  # an older version wrote another digest over it
        ("d", "x:c", True),
    ],
)
def test_a_row_is_about_a_body(digest: str, canonical_digest: str, same: bool) -> None:
    one = Identity("a", "d", canonical="c")
    assert is_same_body(one, digest, canonical_digest) is same


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
