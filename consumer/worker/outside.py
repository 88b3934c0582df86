"""Calls a service outside over HTTP: one request, one answer; knows no message and no table."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit


class Answer(Enum):
    """What a service says to a request; whatever is neither leaves open whether it happened."""

    DONE = "done"
    REFUSED = "refused"
    """No, and it stays no: the service has remembered that under the request's key."""


class OutsideDown(Exception):
    """No answer that settles the request; whether it had its effect is not known."""


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

    Each call has a connection of its own and `timeout` seconds for each answer.
    """

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self._connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host = parts.netloc
        self._base = parts.path.rstrip("/")
        self._timeout = timeout

    def call(self, request: Request) -> Answer:
        """See Call. 2xx is done and 422 is refused; 409, 429 and 5xx settle nothing."""
        body = json.dumps({"order": request.order, "amount": request.amount})
        headers = {"Content-Type": "application/json"}
        if request.key:
            headers["Idempotency-Key"] = header_of(request.key)
        status, _ = self._ask("POST", f"/{request.action}", body, headers)
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            return Answer.REFUSED
        if status // 100 != HTTPStatus.OK // 100:
            raise OutsideDown(f"{request.action} answered {status}")
        return Answer.DONE

    def has(self, action: str, order: str) -> bool:
        """Whether the service has done this for the order, as far as it knows now."""
        status, found = self._ask("GET", f"/{action}/{quote(order, safe='')}")
        if status != HTTPStatus.OK:
            raise OutsideDown(f"looking for {action} answered {status}")
        return bool(found)

    def _ask(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        connection = self._connect(self._host, timeout=self._timeout)
        try:
            connection.request(method, self._base + path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (OSError, HTTPException, ValueError) as error:
            raise OutsideDown(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
