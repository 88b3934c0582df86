"""Calls an external service over HTTP, in one of three ways: naive, checked or with a key.

It knows no queue and no table.
"""

import io
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import quote, urlsplit

from .message import Message, payload_of
from .ports import Rejected, Work

LONGEST_ANSWER = 65_536
"""Bytes of a body that are read; a service outside says yes or no, and how often."""
_PASSING = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
"""The client errors that ask for another try; the others say that the request itself is wrong."""


class Answer(Enum):
    """What a service says to a request; whatever is neither leaves open whether it happened."""

    DONE = "done"
    REFUSED = "refused"
    """No, and it stays no: the service has remembered that under the request's key."""


class OutsideDown(Exception):
    """No answer that settles the request; whether it had its effect is not known.

    `passing` says whether another try may bring another answer. The text holds no value of the
    request, since it goes into logs and rows.
    """

    def __init__(self, reason: str, *, passing: bool = True) -> None:
        super().__init__(reason)
        self.passing = passing


@dataclass(frozen=True)
class Request:
    """One action on one order; with a `key`, asking twice has the effect of asking once.

    `amount` in cents. `receive_count` and `message_id` are of the delivery behind it, 0 and empty
    where there is none.
    """

    action: str
    order: str
    amount: int
    key: str = ""
    receive_count: int = 0
    message_id: str = ""

    @property
    def names(self) -> dict[str, str]:
        """What every event about it carries."""
        return {"id": self.message_id or self.order}


def header_of(key: str) -> str:
    """The key as a header value in ASCII; different keys have different values.

    A key that HTTP carries unchanged is its own value. A key that is not ASCII, has control
    characters, has blanks that HTTP trims, or looks like the other form, is percent-encoded as in
    RFC 8187.
    """
    plain = key.isascii() and key.isprintable() and key == key.strip()
    return key if plain and not key.startswith(_FORM) else _FORM + quote(key, safe="")


_FORM = "UTF-8''"

Call = Callable[[Request], Answer]
"""Asks for an action; raises OutsideDown where the answer does not settle it."""


class Service:
    """A service at a base URL: POST /ACTION asks for an action, GET /ACTION/ORDER looks.

    Each call has a connection of its own, and `timeout` seconds for all of it.
    """

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._tls else 80)
        self._base = parts.path.rstrip("/")
        self._timeout = timeout

    def call(self, request: Request) -> Answer:
        """See Call. 2xx is done and 422 is refused, whatever the body; all else settles nothing."""
        body = json.dumps({"order": request.order, "amount": request.amount})
        headers = {"Content-Type": "application/json"}
        if request.key:
            headers["Idempotency-Key"] = header_of(request.key)
        status, _ = self._ask("POST", request.action, body=body, headers=headers)
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            return Answer.REFUSED
        if status // 100 != HTTPStatus.OK // 100:
            raise _unsettled(f"{request.action} answered {status}", status)
        return Answer.DONE

    def has(self, action: str, order: str) -> bool:
        """Whether the service has done this for the order, as far as it knows now."""
        status, body = self._ask("GET", action, f"/{quote(order, safe='')}")
        if status != HTTPStatus.OK:
            raise _unsettled(f"looking for {action} answered {status}", status)
        try:
            return bool(json.loads(body))
        except (ValueError, RecursionError):
            raise OutsideDown(f"looking for {action} answered {status} without JSON") from None

    def _ask(
        self,
        method: str,
        action: str,
        order: str = "",
        body: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Status and body of the answer; no body where it is cut off or too long."""
        deadline = time.monotonic() + self._timeout
        connect = partial(HTTPSConnection, context=self._tls) if self._tls else HTTPConnection
        connection = connect(self._host, self._port)
        try:
            with self._opened(deadline) as opened:
                connection.sock = _Timed(opened, deadline)
                connection.request(method, f"{self._base}/{action}{order}", body, headers or {})
                answer = connection.getresponse()
                return answer.status, _body_of(answer)
        except (OSError, HTTPException, ValueError) as error:
            told = f": {error}" if isinstance(error, OSError) else ""
            raise OutsideDown(f"{method} /{action}: {type(error).__name__}{told}") from None

    def _opened(self, deadline: float) -> socket.socket:
        address, left = (self._host, self._port), _left(deadline)
        opened = _in_time(lambda: socket.create_connection(address, left), deadline)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._tls:
            return opened
        opened.settimeout(_left(deadline))
        return self._tls.wrap_socket(opened, server_hostname=self._host)


class _Timed(io.RawIOBase):
    """A socket, as `http.client` uses one, on which no wait outlasts the deadline.

    A timeout of the socket would begin anew with each byte that a slow service sends.
    """

    def __init__(self, opened: socket.socket, deadline: float) -> None:
        self._socket = opened
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._socket.settimeout(_left(self._deadline))
            rest = rest[self._socket.send(rest) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(_left(self._deadline))
        return self._socket.recv_into(buffer)

    def close(self) -> None:
        """Whoever opened the socket closes it; `http.client` would, before the body is read."""


def _in_time(connect: Callable[[], socket.socket], deadline: float) -> socket.socket:
    """The result of a call that has no timeout for all of it: it asks DNS, and tries each address.

    Raises TimeoutError; the call then goes on by itself, and what it opens is closed unused.
    """
    results: SimpleQueue[socket.socket | Exception] = SimpleQueue()

    def run() -> None:
        try:
            results.put(connect())
        except Exception as error:
            results.put(error)

    threading.Thread(name="connect", target=run, daemon=True).start()
    try:
        result = results.get(timeout=_left(deadline))
    except Empty:
        raise TimeoutError("timed out") from None
    if isinstance(result, Exception):
        raise result
    return result


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _body_of(answer: HTTPResponse) -> bytes:
    """The body, or nothing: the status was the answer, and a bad body takes none of it back."""
    try:
        body = answer.read(LONGEST_ANSWER + 1)
    except (OSError, HTTPException, ValueError):
        return b""
    return b"" if answer.length or len(body) > LONGEST_ANSWER else body


def _unsettled(reason: str, status: int) -> OutsideDown:
    client_error = status // 100 == HTTPStatus.BAD_REQUEST // 100
    return OutsideDown(reason, passing=not client_error or status in _PASSING)


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
