"""An outside service for scenarios: payments, a warehouse and a shipper over HTTP, with a ledger.

POST /ACTION {"order", "amount"} has an effect each time, unless an Idempotency-Key says that it was
asked before: then the answer of that time is given again. GET /ACTION/ORDER says how often it was
done. Under /late an effect is held back until somebody else asks about the order: a slow service,
in which another delivery surely overtakes. Under /unsteady the first request for an action on an
order is answered with 503 and has no effect. Every effect is a line of JOURNAL_PATH before it is
answered, and no line is ever changed. It knows nothing of queues, consumers or scenarios.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
import zlib
from collections import Counter
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

HOLD_SECONDS = 20.0  # at most, should nobody else ask
LATE, UNSTEADY = "/late", "/unsteady"


class Ledger:
    """Lines that are only ever added, each in one write."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def line(self, event: str, **fields: Any) -> None:
        line = {"t": round(time.time(), 6), "who": "shop", "event": event, **fields}
        os.write(self._file, json.dumps(line).encode() + b"\n")


class Shop:
    """What was asked and done; usable from several threads."""

    def __init__(self, ledger: Ledger, refuse_ship_every: int) -> None:
        self._ledger = ledger
        self._refuse_ship_every = refuse_ship_every
        self._changed = threading.Condition()
        self._asked: Counter[str] = Counter()  # of an order
        self._done: Counter[tuple[str, str]] = Counter()  # (action, order)
        self._answers: dict[str, HTTPStatus | None] = {}  # by key, None while it is open
        self._turned_away: set[tuple[str, str]] = set()  # (action, order)

    def ask(self, action: str, order: str, amount: int, key: str, *, late: bool) -> HTTPStatus:
        """The answer to a request for an action."""
        about = {"id": order, "action": action, "key": key}
        with self._changed:
            self._note_asked(order)
            if key in self._answers:
                return self._repeated(about)
            if key:
                self._answers[key] = None
            if late:
                self._ledger.line("held", **about)
                asked = self._asked[order]
                self._changed.wait_for(lambda: self._asked[order] > asked, HOLD_SECONDS)
            status = self._decide(action, order)
            if status is HTTPStatus.OK:
                self._done[action, order] += 1
            name = "done" if status is HTTPStatus.OK else "refused"
            self._ledger.line(name, **about, amount=amount)
            if key:
                self._answers[key] = status
            self._changed.notify_all()
            return status

    def turns_away(self, action: str, order: str) -> bool:
        """Whether this is the first request of an unsteady service for this."""
        with self._changed:
            if (action, order) in self._turned_away:
                return False
            self._turned_away.add((action, order))
            self._ledger.line("unavailable", id=order, action=action)
            return True

    def look(self, action: str, order: str) -> int:
        """How often it was done, as far as is known now."""
        with self._changed:
            found = self._done[action, order]
            self._ledger.line("looked", id=order, action=action, found=found)
            self._note_asked(order)
            return found

    def _note_asked(self, order: str) -> None:
        self._asked[order] += 1
        self._changed.notify_all()

    def _repeated(self, about: dict[str, str]) -> HTTPStatus:
        """Whoever asks again while the first one waits gets the same answer, and so waits, too."""
        key = about["key"]
        self._changed.wait_for(lambda: self._answers[key] is not None, HOLD_SECONDS)
        self._ledger.line("repeated", **about)
        return self._answers[key] or HTTPStatus.CONFLICT

    def _decide(self, action: str, order: str) -> HTTPStatus:
        every = self._refuse_ship_every
        refused = action == "ship" and every and zlib.crc32(order.encode()) % every == 0
        return HTTPStatus.UNPROCESSABLE_ENTITY if refused else HTTPStatus.OK


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, shop: Shop) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.shop = shop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length))
        key = self.headers.get("Idempotency-Key", "")
        kind, action = self._path()
        order, amount = body["order"], body["amount"]
        if kind == UNSTEADY and self.server.shop.turns_away(action, order):
            status = HTTPStatus.SERVICE_UNAVAILABLE
        else:
            status = self.server.shop.ask(action, order, amount, key, late=kind == LATE)
        self._answer(status, {"order": order, "action": action})

    def do_GET(self) -> None:
        action, _, order = self._path()[1].partition("/")
        self._answer(HTTPStatus.OK, self.server.shop.look(action, unquote(order)))

    def _path(self) -> tuple[str, str]:
        """What kind of service is asked, '' for a good one, and for what."""
        kind = next((k for k in (LATE, UNSTEADY) if self.path.startswith(f"{k}/")), "")
        return kind, self.path.removeprefix(kind).strip("/")

    def _answer(self, status: HTTPStatus, found: object) -> None:
        text = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """The ledger says all."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--refuse-ship-every", type=int, default=0, metavar="N")
    chosen = parser.parse_args()
    ledger = Ledger(os.environ["JOURNAL_PATH"])
    server = Server(Shop(ledger, chosen.refuse_ship_every))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    ledger.line("start", url=server.url)
    server.serve_forever(poll_interval=0.05)
    return 0


if __name__ == "__main__":
    sys.exit(main())
