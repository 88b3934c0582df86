"""microburst in front of the local stack: faults that the SDK believes, and a count of calls."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.environment import base_environment
from support.waiting import wait_for

Rule = dict[str, Any]
# Fires on each signed call and changes nothing: microburst counts operations only where a rule
# fires, and cannot show its counts once it has counted a request that is no call (a health check).
COUNT_EVERYTHING: Rule = {"service": "*", "headers": {"Authorization": ""}, "latency": 0}
STARTS_WITHIN = 60.0
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Proxy:
    """A running microburst; ``endpoint`` goes into AWS_ENDPOINT_URL."""

    def __init__(self, upstream: str, rules: Sequence[Rule], log: Path) -> None:
        port = _free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        self._log = log
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "microburst", "-u", upstream, "-p", str(port)],
                env=base_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.pid = self._child.pid
        self._before = Counter[str]()
        wait_for(self._healthy, seconds=STARTS_WITHIN, what=f"microburst on {self.endpoint}")
        self._warm_up()
        self.renew(rules)

    def renew(self, rules: Sequence[Rule]) -> None:
        """As good as new: these rules, nothing fired, all counts from 0."""
        self._call("rules", "POST", [])
        self._call("fired", "DELETE")
        self._before = Counter[str]()
        self._before = Counter({"": self.requests()}) + self.operations()
        self.rules(rules)

    @property
    def running(self) -> bool:
        return self._child.poll() is None

    def rules(self, rules: Sequence[Rule]) -> None:
        """Replace all rules (microburst's own notation)."""
        self._call("rules", "POST", list(rules))

    def requests(self) -> int:
        """Requests of any kind that have come through."""
        return int(self.stats()["requests"]["total"]) - self._before[""]

    def stats(self) -> dict[str, Any]:
        """``GET /_microburst/stats``: requests in all and by service, since microburst started."""
        found: dict[str, Any] = self._call("stats")
        return found

    def fired(self, limit: int = 1000) -> list[dict[str, Any]]:
        """The faults that happened, oldest first."""
        found: list[dict[str, Any]] = self._call(f"fired?limit={limit}")
        return found

    def operations(self) -> Counter[str]:
        """Calls as ``dynamodb.PutItem``: n, of rules that fired; complete with COUNT_EVERYTHING."""
        counted: Counter[str] = Counter()
        for service, operation, count in re.findall(
            r'faults_total\{service="(\w+)",operation="(\w+)",action="[^"]*"\} (\d+)',
            self._text("metrics"),
        ):
            counted[f"{service}.{operation}"] += int(count)
        return counted - self._before

    def _warm_up(self) -> None:
        """The first request makes microburst load the model of every AWS service, 3 s of CPU, which
        no consumer's time-out should have to wait for."""
        scope = "AWS4-HMAC-SHA256 Credential=x/20260101/us-west-1/sqs/aws4_request"
        headers = {"X-Amz-Target": "AmazonSQS.ListQueues", "Authorization": scope}
        request = urllib.request.Request(self.endpoint, data=b"{}", headers=headers)  # noqa: S310
        try:
            DIRECT.open(request, timeout=STARTS_WITHIN).close()
        except urllib.error.HTTPError as refused:
            refused.close()

    def close(self) -> None:
        self._child.kill()
        self._child.wait()

    def _healthy(self) -> bool:
        if self._child.poll() is not None:
            raise AssertionError(f"microburst ended: {self._log.read_text(errors='replace')}")
        try:
            return bool(self._call("health"))
        except OSError:
            return False

    def _call(self, path: str, method: str = "GET", body: object = None) -> Any:
        return json.loads(self._text(path, method, body))

    def _text(self, path: str, method: str = "GET", body: object = None) -> str:
        request = urllib.request.Request(  # noqa: S310 - the address is this object's own
            f"{self.endpoint}/_microburst/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with DIRECT.open(request, timeout=5) as answer:
            return str(answer.read().decode())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
