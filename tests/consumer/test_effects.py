"""Three ways to charge: what each asks of the service, once and with a second delivery."""

import json
from dataclasses import replace
from typing import Any

import pytest

from sqs_worker import http_service
from sqs_worker.http_service import Answer, OutsideDown, Request, amount_of
from sqs_worker.ports import Rejected
from support.fakes import a_message


class Payments:
    """A service with a memory, which charges at each call unless a key says that it has."""

    def __init__(self) -> None:
        self.charges: list[str] = []
        self.asked: list[Request] = []
        self.answer = Answer.DONE
        self._keys: set[str] = set()

    def call(self, request: Request) -> Answer:
        self.asked.append(request)
        if not request.key or request.key not in self._keys:
            self.charges.append(request.order)
            self._keys.add(request.key)
        return self.answer

    def look(self, action: str, order: str) -> bool:
        return action == "charge" and order in self.charges


def works(payments: Payments) -> dict[str, Any]:
    return {
        "naive": http_service.naive(payments.call),
        "check": http_service.checked(payments.call, payments.look),
        "key": http_service.keyed(payments.call),
    }


@pytest.mark.parametrize(("way", "charges"), [("naive", 2), ("check", 1), ("key", 1)])
def test_charges_of_two_deliveries_one_after_the_other(way: str, charges: int) -> None:
    payments = Payments()
    work = works(payments)[way]
    work(a_message(body='{"work": 7}'))
    work(a_message(body='{"work": 7}'))
    assert payments.charges == ["m-1"] * charges
    assert {request.amount for request in payments.asked} == {7}


@pytest.mark.parametrize(("way", "charges"), [("naive", 2), ("check", 2), ("key", 1)])
def test_charges_of_two_deliveries_at_once(way: str, charges: int) -> None:
    """The second is worked on between the first one's look and its call."""
    payments = Payments()
    other = works(payments)[way]

    def slow_call(request: Request) -> Answer:
        other(a_message())
        return payments.call(request)

    first = {
        "naive": http_service.naive(slow_call),
        "check": http_service.checked(slow_call, payments.look),
        "key": http_service.keyed(slow_call),
    }
    first[way](a_message())
    assert payments.charges == ["m-1"] * charges


@pytest.mark.parametrize("way", ["naive", "check", "key"])
def test_a_refusal_rejects_the_message(way: str) -> None:
    payments = Payments()
    payments.answer = Answer.REFUSED
    with pytest.raises(Rejected, match="refuses the charge"):
        works(payments)[way](a_message())


def test_the_effect_comes_after_the_work_and_not_without_it() -> None:
    did: list[str] = []

    def work(message: Any) -> None:
        did.append("work")
        if message.id == "bad":
            raise Rejected("bad")

    both = http_service.followed_by(work, lambda _message: did.append("effect"))
    both(a_message())
    assert did == ["work", "effect"]
    with pytest.raises(Rejected):
        both(a_message("bad"))
    assert did == ["work", "effect", "work"]


def test_a_service_that_does_not_answer_fails_the_work() -> None:
    def down(_request: Request) -> Answer:
        raise OutsideDown("charge answered 503")

    with pytest.raises(OutsideDown):
        http_service.naive(down)(a_message())


@pytest.mark.parametrize(
    ("body", "amount"),
    [
        ('\ufeff{"work": 7}', 7),
        (json.dumps({"work": 12}), 12),
        (json.dumps({"work": True}), 0),
        (json.dumps({"work": "12"}), 0),
        (json.dumps([12]), 0),
        ("no json", 0),
        ("[" * 100_000, 0),
    ],
)
def test_the_amount_is_a_whole_number_or_nothing(body: str, amount: int) -> None:
    assert amount_of(a_message(body=body)) == amount


@pytest.mark.parametrize("way", ["naive", "check", "key"])
def test_messages_of_one_business_key_are_one_order(way: str) -> None:
    payments = Payments()
    message = replace(a_message("m-1", body='{"work": 7}'), business_key="key#a")
    works(payments)[way](message)
    (request,) = payments.asked
    assert (request.order, request.key) == ("key#a", "key#a" if way == "key" else "")
    assert request.names == {"id": "m-1"}
    assert payments.look("charge", "key#a")
