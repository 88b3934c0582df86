"""Three ways to charge an order while its message is worked on; only one bears a second delivery.

They differ in what they ask the payment service, and know nothing of queue, tables or crashes. The
fourth way makes no call here: outbox.py records an intent, relay.py delivers it.
"""

from collections.abc import Callable

from .http_service import Answer, Call, Request
from .message import Message, payload_of
from .ports import Rejected, Work

CHARGE = "charge"
Look = Callable[[str, str], bool]
"""Whether an action was done for an order, as `Service.has` says."""


def naive(call: Call) -> Work:
    """Charge. Whatever cuts the delivery short after that charges again with the next one."""
    return lambda message: _charge(call, _request(message))


def checked(call: Call, look: Look) -> Work:
    """Look, and charge if nothing is there: what happens between the two is not seen."""

    def work(message: Message) -> None:
        if not look(CHARGE, message.key):
            _charge(call, _request(message))

    return work


def keyed(call: Call) -> Work:
    """Charge with the message's key passed on: the service answers a repeat from memory."""
    return lambda message: _charge(call, _request(message, key=message.key))


def followed_by(work: Work, effect: Work) -> Work:
    """The work, then the effect."""

    def both(message: Message) -> None:
        work(message)
        effect(message)

    return both


def amount_of(message: Message) -> int:
    """What the order costs, in cents: the payload's `work`, 0 where there is no whole number."""
    payload = payload_of(message.body)
    amount = payload.get("work") if isinstance(payload, dict) else None
    return amount if isinstance(amount, int) and not isinstance(amount, bool) else 0


def _request(message: Message, key: str = "") -> Request:
    count, amount = message.receive_count, amount_of(message)
    return Request(CHARGE, message.key, amount, key, count, message.id)


def _charge(call: Call, request: Request) -> None:
    if call(request) is Answer.REFUSED:
        raise Rejected("the payment service refuses the charge")
