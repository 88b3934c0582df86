"""Stand-ins for what the consumer talks to: ports, journal, clock, and a DynamoDB with a script."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from sqs_worker.events import Named
from sqs_worker.message import Message, delivery_of, identity_of
from sqs_worker.ports import Claim, Completion, Deletion, LedgerDown, QueueFacts

_handles = count(1)


def a_message(
    message_id: str = "m-1",
    *,
    body: str = "{}",
    visibility: float = 30.0,
    now: float | None = None,
    receive_count: int = 1,
) -> Message:
    """One more delivery of a message, received at `now` on the monotonic clock."""
    handle = f"handle-{next(_handles)}"
    identity = identity_of(body, message_id)
    received = time.monotonic() if now is None else now
    return Message(
        id=message_id,
        sqs_id=f"sqs-{message_id}",
        handle=handle,
        delivery=delivery_of(handle),
        body=body,
        digest=identity.digest,
        canonical=identity.canonical,
        receive_count=receive_count,
        sent=1000.0,
        visible_at=2000.0,
        deadline=received + visibility,
    )


class FakeTime:
    """A clock that only moves when told; takes the place of the module `time`."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1_700_000_000.0 + self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


class FakeStop:
    """An Event whose waiting moves a `FakeTime` on instead of taking time.

    It is set from `stop_after` on, where that is given.
    """

    def __init__(self, clock: FakeTime) -> None:
        self._clock = clock
        self._set = False
        self.waits: list[float] = []
        self.stop_after: float | None = None

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set or (self.stop_after is not None and self._clock.now >= self.stop_after)

    def wait(self, timeout: float) -> bool:
        if not self.is_set():
            self.waits.append(timeout)
            self._clock.now += timeout
        return self.is_set()


class Notes:
    """A journal in memory."""

    lost = False

    def __init__(self) -> None:
        self.lines: list[tuple[str, str | None, dict[str, Any]]] = []

    def event(self, event: str, about: Named | None = None, **fields: Any) -> None:
        self.lines.append((event, about.names["id"] if about else None, fields))

    def of(self, message_id: str) -> list[str]:
        return [event for event, about, _ in self.lines if about == message_id]

    @property
    def names(self) -> list[str]:
        return [event for event, _, _ in self.lines]


class FakeQueue:
    """Deliveries in the order in which they are put in, one list a receive; keeps what was asked.

    An exception among the deliveries is raised by the receive that meets it.
    """

    def __init__(self, *receives: Sequence[Message] | Exception) -> None:
        self._receives = deque(receives)
        self.asked: list[tuple[int, int]] = []
        self.deleted: list[str] = []
        self.released: list[str] = []
        self.extended: list[tuple[list[str], int]] = []
        self.deletions: dict[str, Deletion] = {}
        self.refusing: set[str] = set()
        self.on_receive: Callable[[], object] = lambda: None
        self.on_extend: Callable[[], object] = lambda: None
        self.on_release: Callable[[], object] = lambda: None

    def facts(self) -> QueueFacts:
        return QueueFacts(30, 2)

    def receive(self, limit: int, wait: int) -> list[Message]:
        self.asked.append((limit, wait))
        self.on_receive()
        brought = self._receives.popleft() if self._receives else []
        if isinstance(brought, Exception):
            raise brought
        return list(brought)

    def delete(self, messages: Sequence[Message]) -> list[Deletion]:
        self.deleted += [message.id for message in messages]
        return [self.deletions.get(message.id, Deletion.DELETED) for message in messages]

    def release(self, messages: Sequence[Message]) -> list[bool]:
        self.on_release()
        self.released += [message.id for message in messages]
        return [message.id not in self.refusing for message in messages]

    def extend(self, messages: Sequence[Message], seconds: int) -> list[bool]:
        self.on_extend()
        self.extended.append(([message.id for message in messages], seconds))
        return [message.id not in self.refusing for message in messages]


class FakeLedger:
    """Answers as told, CLAIMED and EFFECT else; raises LedgerDown for the operations in `down`.

    A failure is recorded unless its id is in `unrecorded`.
    """

    def __init__(self) -> None:
        self.claims: dict[str, Claim] = {}
        self.completions: dict[str, Completion] = {}
        self.down: set[str] = set()
        self.calls: list[tuple[str, list[str]]] = []
        self.failed: list[tuple[str, str]] = []
        self.unrecorded: set[str] = set()

    def probe(self) -> None:
        self._called("probe", [])

    def claim(self, messages: Sequence[Message]) -> list[Claim]:
        self._called("claim", messages)
        return [self.claims.get(message.id, Claim.CLAIMED) for message in messages]

    def complete(self, messages: Sequence[Message]) -> list[Completion]:
        self._called("complete", messages)
        return [self.completions.get(message.id, Completion.EFFECT) for message in messages]

    def fail(self, reasons: Sequence[tuple[Message, str]]) -> list[bool]:
        self._called("fail", [message for message, _ in reasons])
        recorded = [message.id not in self.unrecorded for message, _ in reasons]
        self.failed += [
            (message.id, reason)
            for (message, reason), is_in in zip(reasons, recorded, strict=True)
            if is_in
        ]
        return recorded

    def asked(self, name: str) -> list[list[str]]:
        return [ids for called, ids in self.calls if called == name]

    def _called(self, name: str, messages: Sequence[Message]) -> None:
        self.calls.append((name, [message.id for message in messages]))
        if name in self.down:
            raise LedgerDown(f"{name} does not answer")


LOST = "lost"
"""A step of a script: the call is made and its answer gets lost."""


def no_answer() -> ReadTimeoutError:
    """What the SDK raises where no answer comes."""
    return ReadTimeoutError(endpoint_url="http://127.0.0.1:1")


def refusal(code: str, **more: Any) -> ClientError:
    """What the SDK raises where AWS answers with an error."""
    return ClientError({"Error": {"Code": code, "Message": code}, **more}, "Call")  # type: ignore[typeddict-unknown-key]


def cancelled(*codes: str | tuple[str, dict[str, Any]]) -> ClientError:
    """A cancelled transaction with a reason for each item; a row with a code is the old one."""
    reasons = [
        {"Code": code} if isinstance(code, str) else {"Code": code[0], "Item": code[1]}
        for code in codes
    ]
    return refusal("TransactionCanceledException", CancellationReasons=reasons)


Step = Exception | Callable[[Any], Any] | dict[str, Any] | str | None


class ScriptedDynamo:
    """A DynamoDB client that follows a script, one step a call, and then passes calls on to `real`.

    A step is None (pass on), an exception (raise it, nothing happens), a dict (the answer, nothing
    happens), a function (pass on, and it makes another answer of the answer) or LOST.
    """

    def __init__(self, *script: Step, real: Any = None) -> None:
        self._script = deque(script)
        self._real = real
        self.calls: list[tuple[str, dict[str, Any]]] = []

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def then(self, *script: Step) -> None:
        self._script.extend(script)

    def update_item(self, **request: Any) -> Any:
        return self._call("update_item", request)

    def put_item(self, **request: Any) -> Any:
        return self._call("put_item", request)

    def transact_write_items(self, **request: Any) -> Any:
        return self._call("transact_write_items", request)

    def batch_execute_statement(self, **request: Any) -> Any:
        return self._call("batch_execute_statement", request)

    def batch_get_item(self, **request: Any) -> Any:
        return self._call("batch_get_item", request)

    def _call(self, name: str, request: dict[str, Any]) -> Any:
        self.calls.append((name, request))
        step = self._script.popleft() if self._script else None
        if isinstance(step, Exception):
            raise step
        if isinstance(step, dict):
            return step
        answer = getattr(self._real, name)(**request) if self._real else {}
        if request.get("ReturnConsumedCapacity") and not answer.get("ConsumedCapacity"):
            answer = {**answer, "ConsumedCapacity": [{"CapacityUnits": 1.0}]}  # moto forgets it
        if callable(step):
            return step(answer)
        if step == LOST:
            raise no_answer()
        return answer
