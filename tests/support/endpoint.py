"""A loopback endpoint in front of the local stack that may answer DynamoDB calls itself.

`Throttle` answers as a table does that is written to too fast: one code per item of a transaction,
per statement of a batch, or of a single write (API_TransactWriteItems, API_BatchStatementError and
API_PutItem in the DynamoDB API reference).
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Reply = tuple[int, bytes]
PassOn = Callable[[dict[str, Any]], Reply]
"""Sends a request, as it is given, to the stack."""
Answer = Callable[[str, dict[str, Any], PassOn], Reply]
"""The reply to an operation with this request."""
_NAMESPACE = "com.amazonaws.dynamodb.v20120810#"
_TOO_FAST = "Throughput exceeds the current capacity of your table or index."


class Endpoint:
    """Serves until it is closed; ``endpoint`` goes into AWS_ENDPOINT_URL_DYNAMODB.

    `answer` may be replaced at any time.
    """

    def __init__(self, upstream: str, answer: Answer) -> None:
        kind = type("Handler", (_Handler,), {"upstream": urlsplit(upstream).netloc})
        self._server = _Server(("127.0.0.1", 0), kind)
        self._server.owner = self
        self.answer = answer
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Serve nothing more."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """Says nothing of clients that are killed."""

    daemon_threads = True
    request_queue_size = 128
    owner: Endpoint

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client, with one of its own to the stack."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    upstream: str
    server: Any

    def setup(self) -> None:
        super().setup()
        self._stack = HTTPConnection(self.upstream, timeout=60)

    def do_POST(self) -> None:
        """Answer; where the stack or the client cuts its connection, cut the other one, too."""
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        try:
            if len(body) < length:
                raise HTTPException("the client is gone")
            status, answer = self.server.owner.answer(operation, json.loads(body), self._pass_on)
        except (OSError, HTTPException):
            self._stack.close()
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def finish(self) -> None:
        self._stack.close()
        super().finish()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _pass_on(self, request: dict[str, Any]) -> Reply:
        hop = {"host", "content-length", "connection"}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in hop}
        self._stack.request("POST", self.path, json.dumps(request).encode(), headers)
        answer = self._stack.getresponse()
        body = answer.read()
        if not body.endswith(b"}"):
            raise HTTPException("the answer was cut off")
        return answer.status, body


class Throttle:
    """An `Answer` that lets so many write units a second through, and a second's worth at once.

    `throttled` counts the items and statements that were refused, by operation.
    """

    def __init__(self, units: float) -> None:
        self._rate = self._tokens = units
        self._at = time.monotonic()
        self._lock = threading.Lock()
        self.throttled: Counter[str] = Counter()

    def __call__(self, operation: str, request: dict[str, Any], pass_on: PassOn) -> Reply:
        """Items of a transaction cost two units, single writes and statements one (rows < 1 KB)."""
        match operation:
            case "TransactWriteItems":
                return self._transaction(request, pass_on)
            case "BatchExecuteStatement":
                return self._statements(request, pass_on)
            case "PutItem" | "UpdateItem":
                if not self._granted(operation, 1, 1, whole=True):
                    return _error("ProvisionedThroughputExceededException", _TOO_FAST)
        return pass_on(request)

    def _transaction(self, request: dict[str, Any], pass_on: PassOn) -> Reply:
        items = request["TransactItems"]
        granted = self._granted("TransactWriteItems", len(items), 2, whole=True)
        if len(granted) == len(items):
            return pass_on(request)
        reasons = [
            {"Code": "None"} if n in granted else {"Code": "ThrottlingError", "Message": _TOO_FAST}
            for n in range(len(items))
        ]
        codes = ", ".join(reason["Code"] for reason in reasons)
        text = "Transaction cancelled, please refer cancellation reasons for specific reasons"
        return _error(
            "TransactionCanceledException", f"{text} [{codes}]", CancellationReasons=reasons
        )

    def _statements(self, request: dict[str, Any], pass_on: PassOn) -> Reply:
        statements = request["Statements"]
        granted = self._granted("BatchExecuteStatement", len(statements), 1, whole=False)
        status, answer = 200, b'{"Responses": []}'
        if granted:
            passed = [statements[n] for n in sorted(granted)]
            status, answer = pass_on({**request, "Statements": passed})
        if status != 200:
            return status, answer
        told = json.loads(answer)
        done = iter(told["Responses"])
        refused = {"Error": {"Code": "ThrottlingError", "Message": _TOO_FAST}}
        told["Responses"] = [
            next(done) if n in granted else refused for n in range(len(statements))
        ]
        return 200, json.dumps(told).encode()

    def _granted(self, operation: str, items: int, each: int, *, whole: bool) -> set[int]:
        """Which of the items there are units for, any of them; `whole`: units are spent for all of
        them or none, as what is refused with others writes nothing."""
        with self._lock:
            now = time.monotonic()
            self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate)
            self._at = now
            count = min(items, int(self._tokens / each))
            if count == items or not whole:
                self._tokens -= count * each
            self.throttled[operation] += items - count
        return set(random.sample(range(items), count))


def _error(code: str, message: str, **more: Any) -> Reply:
    return 400, json.dumps({"__type": _NAMESPACE + code, "message": message, **more}).encode()
