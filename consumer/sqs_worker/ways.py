"""Chooses what a message does outside, by EFFECT_MODE; the only file that knows all the ways."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .events import Events
from .http_service import Call, Service, checked, followed_by, keyed, naive
from .message import Message
from .outbox import Outbox, Relay, RelayedLedger
from .ports import Ledger, Work
from .saga import Outlast, Saga, SagaRows
from .settings import Settings
from .writes import Write

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Joining = Callable[[Message], Sequence[Write]]
"""What joins the transaction of a completion."""


@dataclass(frozen=True)
class Way:
    """One way to have an effect outside: a call in the work, or a relay after the completion."""

    effect: Work | None = None
    joining: Joining = lambda _message: ()
    relay: Relay | None = None
    saga: Saga | None = None

    def outlasting(self, outlast: Outlast) -> None:
        """From now on what the effect keeps in the tables outlasts an outage of them."""
        if self.saga:
            self.saga.outlast = outlast

    def after(self, work: Work) -> Work:
        """The work, then the effect where it is part of the work."""
        return followed_by(work, self.effect) if self.effect else work

    def telling(self, ledger: Ledger) -> Ledger:
        """The ledger, which tells the relay of completions where there is one."""
        return RelayedLedger(ledger, self.relay) if self.relay else ledger

    @contextmanager
    def under_way(self, left: Callable[[], float]) -> Iterator[None]:
        """Deliver meanwhile; at the end what is pending, for the seconds that are left then."""
        if self.relay:
            self.relay.start()
        yield
        if self.relay:
            self.relay.close(left())


def chosen(
    settings: Settings,
    dynamodb: "DynamoDBClient | None",
    faulty: Callable[[Call], Call],
    journal: Events,
) -> Way:
    """The way of these settings; `faulty` puts the failure knobs around each call."""
    if not settings.effect_mode:
        return Way()
    service = Service(settings.effect_url, settings.effect_timeout_seconds)
    call = faulty(service.call)
    match settings.effect_mode, dynamodb:
        case "naive", _:
            return Way(naive(call))
        case "check", _:
            return Way(checked(call, service.has))
        case "key", _:
            return Way(keyed(call))
        case "saga", tables if tables:
            saga = Saga(call, SagaRows(tables, settings.message_status_table), journal)
            return Way(saga, saga=saga)
        case "outbox", tables if tables:
            outbox = Outbox(tables, settings.message_status_table)
            return Way(joining=lambda m: [outbox.write(m)], relay=Relay(outbox, call, journal))
    raise AssertionError(f"no way {settings.effect_mode}, or none without tables")
