"""DynamoDB with faults: a proxy that scenarios put between their consumers and the real endpoint.

Under /lost-answers the first answer to each write is lost: the write is made, then the connection
is cut. Under /throttled/NAME the first write to a message's row begins so many seconds in which
every write is refused, in the way that a table with too little throughput refuses it: single writes
as a whole, transactions and batches of statements item by item (API_PutItem, API_TransactWriteItems
and API_BatchStatementError in the DynamoDB API Reference). Every fault is a line of JOURNAL_PATH.

A signature names its host, so each call is signed anew with this process's credentials. The address
contains a secret, so that no other user of this machine can make calls with them.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import sys
import threading
import time
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session
from botocore.session import Session
from botocore.utils import get_environ_proxies

WRITES = ("PutItem", "UpdateItem", "TransactWriteItems", "BatchExecuteStatement")
LOST, THROTTLED = "lost-answers", "throttled"
TOO_FAST = "Throughput exceeds the current capacity of your table or index."
ERROR = "com.amazonaws.dynamodb.v20120810#"
Reply = tuple[int, bytes]


def throttling(operation: str, request: dict[str, Any]) -> Reply:
    """The answer of a table that has no write unit left."""
    if operation == "BatchExecuteStatement":
        refused = {"Error": {"Code": "ThrottlingError", "Message": TOO_FAST}}
        return 200, json.dumps({"Responses": [refused] * len(request["Statements"])}).encode()
    if operation == "TransactWriteItems":
        reasons = [{"Code": "ThrottlingError", "Message": TOO_FAST}] * len(request["TransactItems"])
        codes = ", ".join(reason["Code"] for reason in reasons)
        text = "Transaction cancelled, please refer cancellation reasons for specific reasons"
        return _error(
            "TransactionCanceledException", f"{text} [{codes}]", CancellationReasons=reasons
        )
    return _error("ProvisionedThroughputExceededException", TOO_FAST)


def _error(code: str, message: str, **more: Any) -> Reply:
    return 400, json.dumps({"__type": ERROR + code, "message": message, **more}).encode()


class Faults:
    """Decides about each write, and writes down what it decided; usable from several threads."""

    def __init__(self, path: str, throttle_seconds: float) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._throttle_seconds = throttle_seconds
        self._lock = threading.Lock()
        self._seen: set[str] = set()  # digests of the writes whose first answer is lost
        self._ends: dict[str, float] = {}  # when each throttled path recovers

    def line(self, event: str, **fields: Any) -> None:
        line = {"t": round(time.time(), 6), "who": "dynamodb", "event": event, **fields}
        os.write(self._file, json.dumps(line).encode() + b"\n")

    def loses_answer(self, path: str, operation: str, body: bytes) -> bool:
        digest = sha256(body).hexdigest()
        with self._lock:
            if path != LOST or operation not in WRITES or digest in self._seen:
                return False
            self._seen.add(digest)
            self.line("answer_lost", operation=operation)
            return True

    def throttles(self, path: str, operation: str, body: bytes) -> bool:
        with self._lock:
            if not path.startswith(THROTTLED) or operation not in WRITES:
                return False
            if b'"probe"' not in body:
                self._ends.setdefault(path, time.monotonic() + self._throttle_seconds)
            if time.monotonic() > self._ends.get(path, 0.0):
                return False
            self.line("throttled", operation=operation, at=path)
            return True


class Upstream:
    """The endpoint that the SDK would call without this proxy."""

    def __init__(self) -> None:
        session = Session()
        client, credentials = session.create_client("dynamodb"), session.get_credentials()
        if credentials is None:
            raise SystemExit("faulty_dynamodb.py: no AWS credentials found")
        self._url = client.meta.endpoint_url
        self._signer = SigV4Auth(credentials, "dynamodb", client.meta.region_name)
        self._http = URLLib3Session(
            verify=session.get_config_variable("ca_bundle") or True,
            proxies=get_environ_proxies(self._url),
            max_pool_connections=32,
        )

    def send(self, target: str, body: bytes) -> Reply:
        headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0"}
        request = AWSRequest("POST", self._url, data=body, headers=headers)
        self._signer.add_auth(request)
        answer = self._http.send(request.prepare())
        return answer.status_code, answer.content


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: Upstream, faults: Faults) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream, self.faults = upstream, faults
        self.root = f"/{secrets.token_urlsafe(16)}/"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{self.root.rstrip('/')}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is killed is part of a scenario."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.path.startswith(self.server.root):
            self.send_error(404)
            return
        path = self.path.removeprefix(self.server.root).strip("/")
        target = self.headers.get("X-Amz-Target", "")
        operation = target.rpartition(".")[2]
        if self.server.faults.throttles(path, operation, body):
            self._answer(*throttling(operation, json.loads(body)))
            return
        status, answer = self.server.upstream.send(target, body)
        if self.server.faults.loses_answer(path, operation, body):
            self.close_connection = True
            return
        self._answer(status, answer)

    def _answer(self, status: int, answer: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """The journal says all."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--throttle-seconds", type=float, default=6.0, metavar="S")
    chosen = parser.parse_args()
    faults = Faults(os.environ["JOURNAL_PATH"], chosen.throttle_seconds)
    server = Server(Upstream(), faults)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    faults.line("start", url=server.url)
    server.serve_forever(poll_interval=0.05)
    return 0


if __name__ == "__main__":
    sys.exit(main())
