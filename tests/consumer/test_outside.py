"""One request, one answer; what settles nothing is an error, never taken for a yes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.message import KEY_BYTES
from worker.outside import Answer, OutsideDown, Request, Service, header_of

CHARGE = Request("charge", "order/1 ä", 7, key="k-1")


@contextmanager
def answering(respond: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            respond(self)

        def do_GET(self) -> None:
            respond(self)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def with_status(status: int, body: bytes = b"{}") -> Callable[[BaseHTTPRequestHandler], None]:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return respond


@pytest.mark.parametrize(
    ("status", "answer"), [(200, Answer.DONE), (201, Answer.DONE), (422, Answer.REFUSED)]
)
def test_an_answer_that_settles(status: int, answer: Answer) -> None:
    with answering(with_status(status)) as url:
        assert Service(url, 2).call(CHARGE) is answer


@pytest.mark.parametrize("status", [302, 400, 401, 404, 409, 429, 500, 503])
def test_an_answer_that_settles_nothing(status: int) -> None:
    with (
        answering(with_status(status)) as url,
        pytest.raises(OutsideDown, match=f"charge answered {status}"),
    ):
        Service(url, 2).call(CHARGE)


def test_the_request_names_action_and_key() -> None:
    seen: list[tuple[str, str | None]] = []

    def respond(handler: BaseHTTPRequestHandler) -> None:
        seen.append((handler.path, handler.headers["Idempotency-Key"]))
        with_status(200)(handler)

    with answering(respond) as url:
        service = Service(url, 2)
        service.call(CHARGE)
        service.call(Request("refund", "o", 1))
        service.has("charge", CHARGE.order)
    assert seen == [
        ("/v1/charge", "k-1"),
        ("/v1/refund", None),
        ("/v1/charge/order%2F1%20%C3%A4", None),
    ]


KEYS = st.text(max_size=KEY_BYTES) | st.text("aé\u3042 \t\n%'-8UTF\x7f\x85\xa0", max_size=12)


def key_of(header: str) -> str:
    """What a service that knows the form reads; the way back shows that no two keys are one."""
    form, _, rest = header.partition("''")
    return unquote(rest) if form == "UTF-8" else header


@given(KEYS.filter(bool))
def test_a_key_and_its_header_are_one_to_one(key: str) -> None:
    header = header_of(key)
    assert header.isascii()
    assert header.isprintable()
    assert header == header.strip()
    assert key_of(header) == key


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_a_key_that_http_carries_is_its_own_header(key: str) -> None:
    for plain in (key, f"{key} {key}"):
        assert plain.startswith("UTF-8''") or header_of(plain) == plain


@pytest.mark.parametrize(
    "key", ["注文-1", "café", "a\nb", "a\r\nX-Evil: 1", "a\x00b", " A17", "A17\t"]
)
def test_a_service_can_tell_every_key_from_its_neighbors(key: str) -> None:
    seen: list[str | None] = []

    def respond(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers["Idempotency-Key"])
        with_status(200)(handler)

    keys = [key, key.strip(), header_of(key)]
    with answering(respond) as url:
        for one in keys:
            assert Service(url, 2).call(Request("charge", "o", 1, key=one)) is Answer.DONE
    assert len({*seen}) == len({*keys})
    assert [key_of(header or "") for header in seen] == keys


@pytest.mark.parametrize("letter", ["\x01", "\x7f", "é", "あ", "😀"])
def test_the_longest_key_fits_the_header_line_that_servers_take(letter: str) -> None:
    """Apache takes 8,190 bytes by default, nginx 8 KB; a saga adds the action to the key."""
    key = letter * (KEY_BYTES // len(letter.encode())) + "/release"
    assert len(f"Idempotency-Key: {header_of(key)}") < 8190


@pytest.mark.parametrize(("body", "found"), [(b"0", False), (b"2", True), (b"null", False)])
def test_a_look(body: bytes, *, found: bool) -> None:
    with answering(with_status(200, body)) as url:
        assert Service(url, 2).has("charge", "o") is found


@pytest.mark.parametrize("respond", [with_status(500), with_status(200, b"<html>")])
def test_a_look_that_sees_nothing_is_no_no(
    respond: Callable[[BaseHTTPRequestHandler], None],
) -> None:
    with answering(respond) as url, pytest.raises(OutsideDown):
        Service(url, 2).has("charge", "o")


def test_nobody_there_and_no_answer_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        with pytest.raises(OutsideDown, match="imed out"):
            Service(f"http://127.0.0.1:{port}", 0.1).call(CHARGE)
    with pytest.raises(OutsideDown, match="refused"):
        Service(f"http://127.0.0.1:{port}", 0.5).call(CHARGE)


def test_what_an_event_about_a_request_carries() -> None:
    assert CHARGE.names == {"id": "order/1 ä"}
