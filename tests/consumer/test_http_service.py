"""One request, one answer; what settles nothing is an error, never taken for a yes."""

from __future__ import annotations

import socket
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from sqs_worker.http_service import LONGEST_ANSWER, Answer, OutsideDown, Request, Service, header_of
from sqs_worker.message import KEY_BYTES

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


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "2")
    handler.end_headers()
    handler.wfile.write(b"0")


LOOKS_THAT_SEE_NOTHING = {
    "500": with_status(500),
    "HTML": with_status(200, b"<html>"),
    "nothing": with_status(200, b""),
    "too much": with_status(200, b"0" + b" " * LONGEST_ANSWER),
    "too deep": with_status(200, b"[" * 60_000),
    "cut off": cut_off,
}


@pytest.mark.parametrize(
    "respond", LOOKS_THAT_SEE_NOTHING.values(), ids=LOOKS_THAT_SEE_NOTHING.keys()
)
def test_a_look_that_sees_nothing_is_no_no(
    respond: Callable[[BaseHTTPRequestHandler], None],
) -> None:
    with answering(respond) as url, pytest.raises(OutsideDown):
        Service(url, 2).has("charge", "o")


@pytest.mark.parametrize("body", [b"", b"OK", b"<html>", b"\xff", b"{" * 100_000])
def test_a_yes_is_a_yes_whatever_the_body(body: bytes) -> None:
    """The charge was made: a failure here would make it again with the next delivery."""
    with answering(with_status(200, body)) as url:
        assert Service(url, 2).call(CHARGE) is Answer.DONE


@pytest.mark.parametrize("status", [408, 409, 425, 429, 302, 500, 503])
def test_a_failure_that_may_pass(status: int) -> None:
    with answering(with_status(status)) as url, pytest.raises(OutsideDown) as caught:
        Service(url, 2).call(CHARGE)
    assert caught.value.passing


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 418])
def test_a_failure_that_stays(status: int) -> None:
    with answering(with_status(status)) as url, pytest.raises(OutsideDown) as caught:
        Service(url, 2).call(CHARGE)
    assert not caught.value.passing


@contextmanager
def dripping(first: bytes, drop: bytes, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that sends the first bytes, and then a drop each 0.02 s: 150, or until the end."""
    over = threading.Event()

    def serve() -> None:
        with suppress(OSError):
            client, _ = server.accept()
            with tls.wrap_socket(client, server_side=True) if tls else client as client:
                client.recv(65_536)
                client.sendall(first)
                for _ in range(150):
                    if not over.wait(0.02):
                        client.sendall(drop)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            thread.join()


DRIPS = {
    "status line": (b"HTTP/1.1 2", b"0"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server on 127.0.0.1 needs for TLS, with a certificate that this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).add_extension(address, False)
    certificate = builder.not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    file = tmp_path / "shop.pem"
    pem = serialization.Encoding.PEM
    form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(certificate.public_bytes(pem) + key.private_bytes(pem, form, secret))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(("first", "drop"), DRIPS.values(), ids=DRIPS.keys())
def test_a_service_that_drips_has_its_time_in_all(
    first: bytes, drop: bytes, scheme: str, tls: ssl.SSLContext
) -> None:
    with (
        dripping(first, drop, tls if scheme == "https" else None) as port,
        pytest.raises(OutsideDown, match="imed out"),
    ):
        Service(f"{scheme}://127.0.0.1:{port}", 0.3).call(CHARGE)


def test_an_answer_over_tls(tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b" ", tls) as port:
        assert Service(f"https://127.0.0.1:{port}", 5).call(CHARGE) is Answer.DONE
    monkeypatch.delenv("SSL_CERT_FILE")
    with dripping(b"", b"", tls) as port, pytest.raises(OutsideDown, match="CERTIFICATE") as caught:
        Service(f"https://127.0.0.1:{port}", 5).call(CHARGE)
    assert caught.value.passing


def test_a_body_that_drips_ends_a_look_and_takes_no_yes_back() -> None:
    first = b"HTTP/1.1 200 OK\r\n\r\n"
    with dripping(first, b" ") as port, pytest.raises(OutsideDown):
        Service(f"http://127.0.0.1:{port}", 0.3).has("charge", "o")
    with dripping(first, b" ") as port:
        assert Service(f"http://127.0.0.1:{port}", 0.3).call(CHARGE) is Answer.DONE


def test_a_name_that_nobody_resolves_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver has timeouts of its own, which may be longer; each address has one, too."""
    resolved = threading.Event()
    monkeypatch.setattr("sqs_worker.http_service.socket.getaddrinfo", lambda *_: resolved.wait(30))
    try:
        with pytest.raises(OutsideDown, match="imed out"):
            Service("http://payments.invalid", 0.1).call(CHARGE)
    finally:
        resolved.set()


def test_nobody_there_and_no_answer_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        with pytest.raises(OutsideDown, match="imed out"):
            Service(f"http://127.0.0.1:{port}", 0.1).call(CHARGE)
    with pytest.raises(OutsideDown, match="refused"):
        Service(f"http://127.0.0.1:{port}", 0.5).call(CHARGE)


def echo(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"A17\r\n\r\n")
    handler.close_connection = True


@pytest.mark.parametrize("respond", [with_status(500), with_status(404), echo, None])
def test_no_failure_tells_the_order(
    respond: Callable[[BaseHTTPRequestHandler], None] | None,
) -> None:
    """Its text goes into logs and rows, and an order may be a business key."""
    key = 'key#"A17"'
    with answering(respond or echo) as url:
        service = Service(url if respond else "http://127.0.0.1:1", 2)
        for call in (
            lambda: service.call(Request("charge", key, 1, key=key)),
            lambda: service.has("charge", key),
        ):
            with pytest.raises(OutsideDown) as caught:
                call()
            assert "A17" not in "".join(traceback.format_exception(caught.value))


def test_what_an_event_about_a_request_carries() -> None:
    assert CHARGE.names == {"id": "order/1 ä"}
