"""Images are downloaded completely, within limits and only from public addresses; a stopped run can be resumed."""

from __future__ import annotations

import errno
import functools
import hashlib
import io
import ipaddress
import itertools
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from benchmarks.damaged_pictures import pictures
from vip5core.data.images import fetch
from vip5core.data.images.addresses import is_public, parse_address
from vip5core.data.images.download import download
from vip5core.data.images.fetch import identify_image
from vip5core.data.images.ledger import LEDGER, LOCK, Ledger, Row
from vip5core.data.images.options import DownloadOptions
from vip5core.encoders import decode_image
from vip5core.errors import UserError
from vip5core.picture_formats import FORMATS, PictureFormat
from vip5core.storage import machine_name

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[4]
OPTIONS = DownloadOptions(timeout_s=20, attempts=2, backoff_s=0.01, allow_private=True)


@functools.cache
def image(form: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, form)
    return buffer.getvalue()


class Web(ThreadingHTTPServer):
    """A web on this machine: answers by path, and a record of what was asked."""

    daemon_threads = False  # joined when the server closes
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Callable[[Handler], None]] = {}
        self.asked: list[tuple[str, str, float]] = []  # host without port, path, time
        self.headers: list[dict[str, str]] = []
        self.most: Counter[str] = Counter()  # requests at once, by host and over "all"
        self.now: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.released = threading.Event()  # ends the answers that stall

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}{path}"

    def add(self, path: str, answer: Callable[[Handler], None] | None = None, host: str = "127.0.0.1") -> str:
        self.answers[path] = answer or send(image())
        return self.url(path, host)

    def paths(self) -> list[str]:
        return [path for _, path, _ in self.asked]

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(
            sys.exception(), ConnectionError | ssl.SSLError
        ):  # a client that hangs up is what some tests are about
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or every answer takes 40 ms
    server: Web
    counted: tuple[str, ...] = ()

    def do_GET(self) -> None:
        web, host = self.server, self.headers["Host"].rsplit(":", 1)[0]
        with web.lock:
            web.asked.append((host, self.path, time.monotonic()))
            web.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.counted = (host, "all")
            web.now.update(self.counted)
            for key in self.counted:
                web.most[key] = max(web.most[key], web.now[key])
        web.answers[self.path.split("?")[0]](self)

    def send_response(self, *args: Any) -> None:
        """No longer counted from here, because the next request may come before this answer has returned."""
        with self.server.lock:
            self.server.now.subtract(self.counted)
        super().send_response(*args)

    def log_message(self, *_: Any) -> None:
        pass


def send(body: bytes, status: int = 200, delay_s: float = 0, **headers: str | int) -> Callable[[Handler], None]:
    """An answer; `Content_Length` among the headers may lie, and the connection then ends."""

    def answer(handler: Handler) -> None:
        time.sleep(delay_s)
        given = {"Content_Type": "image/jpeg", "Content_Length": len(body)} | headers
        handler.send_response(status)
        for name, value in given.items():
            handler.send_header(name.replace("_", "-"), str(value))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = int(given["Content_Length"]) != len(body)

    return answer


def redirect(to: str, status: int = 302) -> Callable[[Handler], None]:
    return send(b"", status, Location=to)


def stall(handler: Handler) -> None:
    handler.server.released.wait(20)
    handler.close_connection = True


def in_turn(*answers: Callable[[Handler], None]) -> Callable[[Handler], None]:
    left = list(answers)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


@pytest.fixture
def web() -> Iterator[Web]:
    before = set(threading.enumerate())
    server = Web()
    thread = threading.Thread(target=server.serve_forever, args=(0.005,))
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join()
    assert set(threading.enumerate()) <= before


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Host name -> what the name server answers the first time, the second time, ... (the last one for good)."""
    table: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def lookup(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in table:
            return real(host, port, *args, **kwargs)
        answers = table[host].pop(0) if len(table[host]) > 1 else table[host][0]
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, int(port))) for answer in answers]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return table


@pytest.fixture
def public_here(monkeypatch: pytest.MonkeyPatch) -> DownloadOptions:
    """The test's server counts as public, the rest of this machine as private; the options that check it."""
    monkeypatch.setattr(fetch, "is_public", lambda address: address == "127.0.0.1" or is_public(address))
    return replace(OPTIONS, allow_private=False)


def one(url: str, folder: Path, options: DownloadOptions = OPTIONS) -> pd.Series:
    table = download([url], folder, options)
    assert len(table) == 1
    return table.iloc[0]


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {LEDGER, LOCK}


def finished_urls(folder: Path) -> set[str]:
    """The addresses that need not be asked again."""
    with Ledger(folder) as ledger:
        return {url for url in ledger.rows if ledger.is_settled(url, retry_failed=False)}


# What comes


@pytest.mark.parametrize(
    ("form", "sent_as", "kind", "ending"),
    [
        ("JPEG", "text/plain", "image/jpeg", ".jpg"),
        ("PNG", "image/jpeg", "image/png", ".png"),
        ("GIF", "application/octet-stream", "image/gif", ".gif"),
        ("WEBP", "text/html; charset=utf-8", "image/webp", ".webp"),
        ("BMP", "nonsense", "image/bmp", ".bmp"),
        ("AVIF", "image/jpeg", "image/avif", ".avif"),
        ("TIFF", "image/jpeg", "image/tiff", ".tif"),
        ("JPEG2000", "image/jpeg", "image/jp2", ".jp2"),
    ],
)
def test_the_bytes_are_kept_and_tell_the_type(
    web: Web, tmp_path: Path, form: str, sent_as: str, kind: str, ending: str
) -> None:
    url = web.add("/../etc/x.exe", send(image(form), Content_Type=sent_as))
    row = one(url, tmp_path)
    assert row.to_dict() == {
        "url": url,
        "file": hashlib.sha256(url.encode()).hexdigest()[:32] + ending,
        "sha256": hashlib.sha256(image(form)).hexdigest(),
        "bytes": len(image(form)),
        "content_type": kind,
        "reason": None,
        "final": True,
    }
    assert (tmp_path / row.file).read_bytes() == image(form)
    assert files(tmp_path) == {row.file}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<!DOCTYPE html><html>gone</html>", "not an image: begins with b'<!DOCTYPE html><'"),
        (b"BM is short for something else, as every text may begin", "not an image: begins with b'BM is short"),
        (b"RIFF....WAVEfmt ", "not an image"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not an image"),
        (b"\x89PN", "not an image"),
        (b"\0\0\0\x18ftypheic", "HEIC is not read: convert it to JPEG or PNG: begins with"),
        (b"", "empty"),
    ],
)
def test_what_only_claims_to_be_an_image_is_rejected(web: Web, tmp_path: Path, body: bytes, reason: str) -> None:
    row = one(web.add("/x.jpg", send(body)), tmp_path)
    assert row.reason.startswith(reason)
    assert (row.final, row.file, files(tmp_path)) == (True, None, set())


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_every_format_that_encoders_read_is_accepted_and_kept_by_the_ledger(
    form: PictureFormat, tmp_path: Path
) -> None:
    data = pictures()[form.name][0]
    assert decode_image(data).mode == "RGB"
    found = identify_image(bytearray(data))
    assert (found.content_type, found.ending) == (form.content_type, form.endings[0])
    name = "0" * 32 + found.ending
    (tmp_path / name).write_bytes(data)
    with Ledger(tmp_path) as ledger:
        ledger.add(Row("u", name, "0" * 64, len(data), found.content_type))
    with Ledger(tmp_path) as ledger:
        assert ledger.is_settled("u", retry_failed=False)


def test_a_compressed_answer_is_rejected_since_the_original_bytes_are_wanted(web: Web, tmp_path: Path) -> None:
    row = one(web.add("/x.jpg", send(image(), Content_Encoding="gzip")), tmp_path)
    assert (row.reason, row.final) == ("compressed, although not requested", True)
    assert web.headers[0]["accept-encoding"] == "identity"


def test_requests_say_who_sends_them(web: Web, tmp_path: Path) -> None:
    one(web.add("/x.jpg"), tmp_path)
    assert web.headers[0]["user-agent"].startswith("vip5-ablation/")


def test_an_image_may_be_as_large_as_the_limit_and_not_a_byte_larger(web: Web, tmp_path: Path) -> None:
    url, size = web.add("/x.jpg"), len(image())
    assert one(url, tmp_path / "a", replace(OPTIONS, max_bytes=size)).reason is None
    row = one(url, tmp_path / "b", replace(OPTIONS, max_bytes=size - 1))
    assert (row.reason, row.final) == (f"larger than {size - 1} bytes", True)
    assert files(tmp_path / "b") == set()


def test_an_announced_giant_is_not_read(web: Web, tmp_path: Path) -> None:
    def giant(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(10**12))
        handler.end_headers()
        stall(handler)  # whoever reads on, runs into the time limit

    row = one(web.add("/x.jpg", giant), tmp_path, replace(OPTIONS, timeout_s=2, attempts=1))
    assert (row.reason, row.final) == ("larger than 20000000 bytes", True)


def test_a_stream_without_length_and_end_is_cut_off(web: Web, tmp_path: Path) -> None:
    sent = [0]

    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while sent[0] < 200_000_000:
            handler.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            sent[0] += 0x10000

    row = one(web.add("/x.jpg", endless), tmp_path, replace(OPTIONS, max_bytes=1_000_000))
    assert (row.reason, row.final) == ("larger than 1000000 bytes", True)
    assert sent[0] < 50_000_000  # the limit and what the system buffers


def test_memory_holds_no_more_images_than_are_requested_at_once(web: Web, tmp_path: Path) -> None:
    body = image() + bytes(1_000_000)
    urls = [web.add(f"/{i}.jpg", send(body)) for i in range(30)]
    tracemalloc.start()
    table = download(urls, tmp_path, replace(OPTIONS, concurrency=2))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert table["bytes"].tolist() == [len(body)] * 30
    assert peak < 8_000_000


# What fails, and whether it is asked again


def cut_chunks(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"%x\r\n%b\r\n" % (len(image()), image()))
    handler.close_connection = True


def hang_up(handler: Handler) -> None:
    handler.close_connection = True


def garbage(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 what ever\r\n\x00\r\n\r\n")
    handler.close_connection = True


@pytest.mark.parametrize(
    ("answer", "reason", "final", "times"),
    [
        (send(b"", 404), "HTTP 404", True, 1),
        (send(b"", 410), "HTTP 410", True, 1),
        (send(image(), 206), "HTTP 206", True, 1),
        (send(b"", 403), "HTTP 403", False, 1),
        (send(b"", 500), "HTTP 500", False, 3),
        (send(b"", 503), "HTTP 503", False, 3),
        (send(b"", 429), "HTTP 429", False, 3),
        (send(image(), Content_Length=len(image()) + 9), "truncated", False, 3),
        (cut_chunks, "truncated", False, 3),
        (garbage, "connection failed: ", False, 3),
        (redirect(""), "redirects to a bad address: ", True, 1),
    ],
    ids=["404", "410", "206", "403", "500", "503", "429", "truncated", "cut chunks", "garbage", "nowhere"],
)
def test_a_failure_says_why_and_whether_to_retry(
    web: Web, tmp_path: Path, answer: Callable[[Handler], None], reason: str, final: bool, times: int
) -> None:
    row = one(web.add("/x.jpg", answer), tmp_path, replace(OPTIONS, attempts=3))
    assert row.reason.startswith(reason)
    assert (row.final, row.file, len(web.asked), files(tmp_path)) == (final, None, times, set())


def test_a_stalled_answer_ends_with_the_time_limit(web: Web, tmp_path: Path) -> None:
    row = one(web.add("/x.jpg", stall), tmp_path, replace(OPTIONS, timeout_s=0.2))
    assert (row.reason, row.final, len(web.asked)) == ("not finished within 0.2 s", False, 2)


def test_a_host_that_hangs_up_or_is_not_there_is_retried_later(web: Web, tmp_path: Path, names: dict) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: nobody else takes the port meanwhile
        port = unused.getsockname()[1]
        urls = [web.add("/x.jpg", hang_up), f"http://127.0.0.1:{port}/", "http://gone.test/"]
        names["gone.test"] = [[]]
        table = download(urls, tmp_path, OPTIONS)
    assert table["final"].tolist() == [False] * 3
    hung, refused, unknown = table["reason"]
    assert hung.startswith("connection failed: ")
    assert refused == "cannot connect: Connection refused"
    assert unknown == "host name not found"


def test_an_invalid_certificate_is_not_accepted(web: Web, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path / "key.pem"))
    web.socket = context.wrap_socket(web.socket, server_side=True, do_handshake_on_connect=False)
    row = one(web.add("/x.jpg").replace("http:", "https:"), tmp_path / "images")
    assert (row.reason, row.final, web.asked) == ("invalid certificate", False, [])


def self_signed(path: Path) -> Path:
    """A certificate for this machine that nobody vouches for, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name, now = ec.generate_private_key(ec.SECP256R1()), x509.Name([]), datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + certificate.public_bytes(pem))
    return path


def test_plain_http_where_tls_should_be_is_retried_later(web: Web, tmp_path: Path) -> None:
    row = one(web.add("/x.jpg").replace("http:", "https:"), tmp_path)
    assert (row.reason, row.final, web.asked) == ("TLS connection failed", False, [])


def test_a_temporary_failure_is_retried(web: Web, tmp_path: Path) -> None:
    cut = send(image()[:9], Content_Length=len(image()))
    row = one(web.add("/x.jpg", in_turn(send(b"", 500), cut, send(image()))), tmp_path, replace(OPTIONS, attempts=3))
    assert (row.reason, len(web.asked)) == (None, 3)


def test_the_waits_between_attempts_grow(web: Web, tmp_path: Path) -> None:
    one(web.add("/x.jpg", send(b"", 500)), tmp_path, replace(OPTIONS, attempts=4, backoff_s=0.1))
    times = [moment for _, _, moment in web.asked]
    waits = [b - a for a, b in itertools.pairwise(times)]
    assert len(waits) == 3
    assert all(wait >= least for wait, least in zip(waits, (0.05, 0.1, 0.2), strict=True))


def test_a_pause_that_a_host_asks_for_holds_for_all_requests(web: Web, tmp_path: Path) -> None:
    busy = in_turn(send(b"", 429, Retry_After=1), send(image()))
    urls = [web.add("/busy.jpg", busy), web.add("/next.jpg")]
    table = download(urls, tmp_path, replace(OPTIONS, per_host=1))
    assert table["reason"].isna().all()
    times = [moment for _, _, moment in web.asked]
    assert len(times) == 3
    assert all(moment - times[0] >= 0.99 for moment in times[1:])


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_pause_too_long_for_this_run_is_left_to_the_next(web: Web, tmp_path: Path, form: str) -> None:
    value = "3600" if form == "seconds" else format_datetime(datetime.now(UTC) + timedelta(hours=1))
    urls = [web.add("/a.jpg", send(b"", 503, Retry_After=value)), web.add("/b.jpg")]
    table = download(urls, tmp_path, replace(OPTIONS, per_host=1))
    assert table["reason"].str.startswith("its host asked to wait 3").all()
    assert (table["final"].any(), web.paths()) == (False, ["/a.jpg"])


def test_a_dead_host_is_skipped_and_a_live_one_is_not(
    web: Web, tmp_path: Path, names: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "HOST_PATIENCE_S", 0.0)
    names |= {"dead.test": [["127.0.0.1"]], "shaky.test": [["127.0.0.1"]]}
    web.add("/500.jpg", send(b"", 500))
    dead = [web.url(f"/500.jpg?{i}", "dead.test") for i in range(20)]
    shaky = [web.add(f"/{i}.jpg", in_turn(send(b"", 500), send(image())), "shaky.test") for i in range(20)]
    table = download([*dead, *shaky], tmp_path, replace(OPTIONS, per_host=1)).set_index("url")
    assert table.loc[shaky, "reason"].isna().all()
    assert sum(host == "dead.test" for host, _, _ in web.asked) == fetch.HOST_FAILURES
    assert table.loc[dead[-1], "reason"] == "not requested: its host failed 8 times in a row"
    assert not table.loc[dead, "final"].any()


# How politely


def test_no_host_gets_more_requests_at_once_than_allowed(web: Web, tmp_path: Path, names: dict) -> None:
    names |= {"a.test": [["127.0.0.1"]], "b.test": [["127.0.0.1"]], "c.test": [["127.0.0.1"]]}
    answer = send(image(), delay_s=0.03)
    urls = [web.add(f"/{host}/{i}.jpg", answer, f"{host}.test") for i in range(12) for host in "abc"]
    options = replace(OPTIONS, concurrency=7, per_host=3)
    assert download(urls, tmp_path, options)["reason"].isna().all()
    assert dict(web.most) == {"a.test": 3, "b.test": 3, "c.test": 3, "all": 7}


def test_redirects_count_towards_the_host_they_lead_to(web: Web, tmp_path: Path, names: dict) -> None:
    names |= {name: [["127.0.0.1"]] for name in ("a.test", "b.test", "CDN.test")}
    web.add("/x.jpg", send(image(), delay_s=0.03))
    urls = [
        web.add(f"/{host}/{i}", redirect(web.url("/x.jpg", "CDN.test")), f"{host}.test")
        for i in range(8)
        for host in "ab"
    ]
    assert download(urls, tmp_path, replace(OPTIONS, per_host=2))["reason"].isna().all()
    assert web.most["CDN.test"] == 2


def test_a_slow_host_delays_only_itself(web: Web, tmp_path: Path, names: dict) -> None:
    names |= {"slow.test": [["127.0.0.1"]], "fast.test": [["127.0.0.1"]]}
    slow = [web.add(f"/slow/{i}.jpg", send(image(), delay_s=0.3), "slow.test") for i in range(4)]
    fast = [web.add(f"/fast/{i}.jpg", None, "fast.test") for i in range(8)]
    download([*slow, *fast], tmp_path, replace(OPTIONS, concurrency=3, per_host=2))
    order = [json.loads(line)["url"] for line in (tmp_path / LEDGER).read_text().splitlines()]
    assert order.index(fast[-1]) < order.index(slow[2])  # while slow.test is at its second pair


# Where it may ask


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(web: Web, tmp_path: Path, status: int) -> None:
    web.add("/sub/x.jpg")
    web.add("/sub/y", redirect("x.jpg", status))
    row = one(web.add("/start", redirect(web.url("/sub/y"), status)), tmp_path)
    assert (row.reason, row.url) == (None, web.url("/start"))
    assert web.paths() == ["/start", "/sub/y", "/sub/x.jpg"]


def test_five_redirects_are_followed_and_a_sixth_is_not(web: Web, tmp_path: Path) -> None:
    web.add("/0")
    for i in range(1, 7):
        web.add(f"/{i}", redirect(f"/{i - 1}"))
    assert one(web.url("/5"), tmp_path).reason is None
    row = one(web.url("/6"), tmp_path)
    assert (row.reason, row.final) == ("more than 5 redirects", True)


def test_a_redirect_that_leads_to_itself_ends(web: Web, tmp_path: Path) -> None:
    row = one(web.add("/x.jpg", redirect("/x.jpg")), tmp_path)
    assert (row.reason, row.final, len(web.asked)) == ("more than 5 redirects", True, 6)


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("file:///etc/passwd", "redirects to a bad address: not http or https"),
        ("ftp://127.0.0.1/x.jpg", "redirects to a bad address: not http or https"),
        ("//user:secret@127.0.0.1/x.jpg", "redirects to a bad address: contains a user name"),
        ("http://127.0.0.2:{port}/x.jpg", "private address 127.0.0.2"),
        ("http://[::ffff:127.0.0.2]:{port}/x.jpg", "private address ::ffff:127.0.0.2"),
        ("http://169.254.169.254/latest/meta-data/", "private address 169.254.169.254"),
        ("http://0x7f000001:{port}/x.jpg", "redirects to a bad address: "),
    ],
)
def test_a_redirect_is_checked_like_an_address(
    web: Web, tmp_path: Path, public_here: DownloadOptions, to: str, reason: str
) -> None:
    web.add("/x.jpg")
    row = one(web.add("/start", redirect(to.format(port=web.server_port))), tmp_path, public_here)
    assert row.reason.startswith(reason)
    assert (row.final, web.paths(), files(tmp_path)) == (True, ["/start"], set())


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "inside.test"),
        *("2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "127.0.0.1.", "127。0。0。1", "①②⑦.0.0.1"),
        *("user:secret@127.0.0.1", "[::1%25lo]", "example.com\\@127.0.0.1", "example.com%00@127.0.0.1"),
    ],
)
def test_this_machine_is_not_requested_in_any_spelling(web: Web, tmp_path: Path, names: dict, host: str) -> None:
    names["inside.test"] = [["127.0.0.1"]]
    web.add("/x.jpg")
    row = one(web.url("/x.jpg", host), tmp_path, replace(OPTIONS, allow_private=False))
    assert row.reason.startswith(("private address ", "bad address: "))
    assert (row.final, web.asked) == (True, [])


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([["127.0.0.2"]], "private address 127.0.0.2"),
        ([["127.0.0.2", "10.0.0.1"]], "private address 1"),
        ([["127.0.0.2", "127.0.0.1"]], None),  # the public one of its addresses is asked
        ([["127.0.0.1"], ["127.0.0.2"]], None),
    ],
    ids=["private", "all private", "one public", "rebinding"],
)
def test_the_address_that_is_connected_to_is_the_one_that_is_checked(
    web: Web, tmp_path: Path, names: dict, public_here: DownloadOptions, answers: list, reason: str | None
) -> None:
    names["shifty.test"] = answers
    met: list[str] = []
    web.add("/x.jpg", lambda handler: (met.append(handler.connection.getsockname()[0]), send(image())(handler))[1])
    row = one(web.url("/x.jpg", "shifty.test"), tmp_path, public_here)
    assert (row.reason is None) if reason is None else row.reason.startswith(reason)
    assert row.final
    assert met == ([] if reason else ["127.0.0.1"])


def test_a_name_that_changes_between_two_requests_is_checked_again(
    web: Web, tmp_path: Path, names: dict, public_here: DownloadOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiohttp.connector._DNSCacheTable.expired", lambda *_: True)  # the time to live is over
    names["shifty.test"] = [["127.0.0.1"], ["127.0.0.2"]]
    web.add("/x.jpg", in_turn(send(b"", 500, Connection="close"), send(image())))
    row = one(web.url("/x.jpg", "shifty.test"), tmp_path, public_here)
    assert (row.reason, len(web.asked)) == ("private address 127.0.0.2", 1)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *((a, True) for a in ("1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101")),
        ("::ffff:1.1.1.1", True),
        *((a, False) for a in ("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1")),
        *((a, False) for a in ("0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1")),
        *((a, False) for a in ("::", "::1", "fe80::1", "fe80::1%2", "fc00::1", "fec0::1", "ff0e::1", "2001:db8::1")),
        *((a, False) for a in ("::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:a00:1::", "2001:0:1::")),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    "address",
    [
        *("", "x.jpg", "/x.jpg", "//h/x.jpg", "file:///etc/passwd", "ftp://h/x", "data:image/png;base64,AAAA"),
        *(
            "http://",
            "http:///x",
            "http://a..b/",
            "http://.../",
            f"http://{'a' * 64}.com/",
            "http://[bad/",
            "http://[::1",
        ),
        *(
            "http://h:0/",
            "http://h:65536/",
            "http://h:x/",
            "http://u@h/",
            "http://:p@h/",
            "http://h o/",
            "http://h%00/",
        ),
        *("http://1.2.3/", "http://256.1.1.1/", "http://0x8.8.8.8/", "http://8.8.8.010/", "http://[fe80::1%25eth0]/"),
        f"http://{'.'.join(['a' * 60] * 5)}/",
    ],
)
def test_a_bad_address_is_a_row_and_nothing_is_requested(tmp_path: Path, address: str) -> None:
    row = one(address, tmp_path)
    assert row.reason.startswith("bad address: ")
    assert (row.url, row.final) == (address, True)


def test_an_address_is_requested_exactly_as_written(web: Web, tmp_path: Path) -> None:
    signed = "/a%2Bb~c.jpg?key=%2F%2b+x&sig=a=="
    web.add("/a%2Bb~c.jpg")
    web.add("/%C3%BC%20x.jpg")
    table = download([f" {web.url(signed)}\n", web.url("/ü x.jpg")], tmp_path, OPTIONS)
    assert table["reason"].isna().all()
    assert sorted(web.paths()) == ["/%C3%BC%20x.jpg", signed]


def test_line_breaks_in_an_address_write_no_headers() -> None:
    assert "\n" not in str(parse_address("http://h/x\r\nCookie: a"))


def test_proxies_of_the_environment_are_not_used(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert one(web.add("/x.jpg"), tmp_path).reason is None


def test_a_mirror_is_requested_and_the_ledger_keeps_the_original(web: Web, tmp_path: Path) -> None:
    web.add("/mirror/x.jpg")
    mirrors = (("http://gone.invalid/img/", web.url("/mirror/")), ("http://gone.invalid/", "http://other.invalid/"))
    row = one("http://gone.invalid/img/x.jpg", tmp_path, replace(OPTIONS, mirrors=mirrors))
    assert (row.reason, row.url, web.paths()) == (None, "http://gone.invalid/img/x.jpg", ["/mirror/x.jpg"])


# Runs that go on


def test_a_second_run_requests_only_what_may_succeed(web: Web, tmp_path: Path) -> None:
    urls = [
        web.add("/good.jpg"),
        web.add("/gone.jpg", send(b"", 404)),
        web.add("/liar.jpg", send(b"<html>")),
        web.add("/busy.jpg", send(b"", 500)),
        "file:///etc/passwd",
    ]
    first = download(urls, tmp_path, OPTIONS)
    assert first["final"].tolist() == [True, True, True, False, True]
    web.asked.clear()
    web.add("/busy.jpg")
    second = download(urls, tmp_path, OPTIONS)
    assert web.paths() == ["/busy.jpg"]
    assert second["file"].notna().tolist() == [True, False, False, True, False]
    pd.testing.assert_frame_equal(first.drop(index=3), second.drop(index=3))
    web.asked.clear()
    pd.testing.assert_frame_equal(second, download(urls, tmp_path, OPTIONS))
    assert web.asked == []
    download(urls, tmp_path, replace(OPTIONS, retry_failed=True))
    assert sorted(web.paths()) == ["/gone.jpg", "/liar.jpg"]


def test_a_duplicate_address_is_requested_once_and_rows_keep_the_order(web: Web, tmp_path: Path) -> None:
    a, b = web.add("/a.jpg", send(image(), delay_s=0.05)), web.add("/b.jpg")
    table = download(iter([a, b, a]), tmp_path, OPTIONS)
    assert table["url"].tolist() == [a, b]
    assert sorted(web.paths()) == ["/a.jpg", "/b.jpg"]
    assert download([b], tmp_path, OPTIONS)["url"].tolist() == [b]


def test_nothing_to_request_is_an_empty_table(tmp_path: Path) -> None:
    table = download([], tmp_path)
    assert list(table.columns) == ["url", "file", "sha256", "bytes", "content_type", "reason", "final"]
    assert (len(table), str(table["bytes"].dtype), str(table["final"].dtype)) == (0, "Int64", "bool")


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(image()[:20])], ids=["lost", "cut"])
def test_a_missing_image_file_is_downloaded_again(web: Web, tmp_path: Path, damage: Callable) -> None:
    url = web.add("/x.jpg")
    path = tmp_path / one(url, tmp_path).file
    damage(path)
    one(url, tmp_path)
    assert path.read_bytes() == image()
    assert len(web.asked) == 2


def test_a_ledger_torn_at_any_byte_loses_its_last_row_only(web: Web, tmp_path: Path) -> None:
    kept, torn = web.add("/kept.jpg"), web.add("/torn.jpg")
    one(kept, tmp_path)
    whole = (tmp_path / LEDGER).read_bytes()
    one(torn, tmp_path)
    both = (tmp_path / LEDGER).read_bytes()
    for cut in range(len(whole), len(both) - 1):
        (tmp_path / LEDGER).write_bytes(both[:cut])
        with Ledger(tmp_path) as ledger:
            assert list(ledger.rows) == [kept]
            ledger.add(Row("http://h/"))
        with Ledger(tmp_path) as ledger:
            assert list(ledger.rows) == [kept, "http://h/"]
    web.asked.clear()
    download([kept, torn], tmp_path, OPTIONS)
    assert web.paths() == ["/torn.jpg"]


def test_invalid_rows_are_ignored(tmp_path: Path) -> None:
    (tmp_path / LEDGER).write_text(
        '{"url": "http://a/", "file": "../../secret.jpg", "bytes": 1}\n[1]\n{"url": "http://b/", "what": 1}\nnull\n\n'
        '{"url": "http://c/", "reason": "HTTP 404", "final": true}\n'
    )
    with Ledger(tmp_path) as ledger:
        assert list(ledger.rows) == ["http://c/"]


def test_partial_files_of_a_killed_run_are_removed_and_nothing_else(web: Web, tmp_path: Path) -> None:
    name = one(web.add("/x.jpg"), tmp_path).file
    with subprocess.Popen([sys.executable, "-c", ""]) as killed:
        pass
    (tmp_path / f".{name}.{machine_name()}-{killed.pid}-0123abcd.part").write_bytes(b"half")
    (tmp_path / ".notes.part").write_text("mine")
    one(web.url("/x.jpg"), tmp_path)
    assert files(tmp_path) == {name, ".notes.part"}


CHILD = """
import signal
import sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs of a shell
from vip5core.data.images.download import download
from vip5core.data.images.options import DownloadOptions
download(sys.argv[2:], Path(sys.argv[1]), DownloadOptions(concurrency=3, allow_private=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_resumes(web: Web, tmp_path: Path, how: signal.Signals) -> None:
    urls = [web.add(f"/{i}.jpg", send(image(), delay_s=0.05)) for i in range(40)]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path), *urls], cwd=ROOT, stderr=subprocess.DEVNULL
    ) as child:
        patience = time.monotonic() + 60
        while len(web.asked) < 15 and time.monotonic() < patience:
            time.sleep(0.005)
        child.send_signal(how)
        assert child.wait(20) != 0
    had = finished_urls(tmp_path)
    assert 10 <= len(had) < 40
    if how == signal.SIGINT:
        assert len(files(tmp_path)) == len(had)  # no half file either
    web.asked.clear()
    table = download(urls, tmp_path, OPTIONS)
    assert {web.url(path) for path in web.paths()} == set(urls) - had
    assert table["file"].notna().all()
    assert files(tmp_path) == set(table["file"])


def test_a_failed_run_keeps_what_it_has(web: Web, tmp_path: Path) -> None:
    urls = [web.add(f"/{i}.jpg") for i in range(10)]

    def stop(done: int, total: int, news: str = "") -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(urls, tmp_path, replace(OPTIONS, concurrency=1), stop)
    had = finished_urls(tmp_path)
    assert len(files(tmp_path)) == len(had) == 4
    web.asked.clear()
    assert download(urls, tmp_path, OPTIONS)["file"].notna().all()
    assert {web.url(path) for path in web.paths()} == set(urls) - had


def test_progress_counts_what_was_there_before(web: Web, tmp_path: Path) -> None:
    urls = [web.add("/a.jpg"), web.add("/b.jpg", send(b"", 404)), "bad"]
    calls: list[tuple[int, int]] = []
    one(urls[0], tmp_path)
    download(urls, tmp_path, OPTIONS, lambda done, total, news="": calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_a_full_disk_is_one_line_and_nothing_half_written(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [web.add(f"/{i}.jpg") for i in range(6)]
    real, room = Path.write_bytes, [2]

    def write(path: Path, data: bytes) -> int:
        if room[0] == 0:
            real(path, data[:50])
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= 1
        return real(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", write)
        with pytest.raises(UserError) as caught:
            download(urls, tmp_path, OPTIONS)
    line = str(caught.value)
    assert repr(str(tmp_path)) in line
    assert "No space left on device" in line
    assert "choose another folder" in line
    assert len(files(tmp_path)) == 2
    assert all((tmp_path / name).read_bytes() == image() for name in files(tmp_path))
    had = finished_urls(tmp_path)
    web.asked.clear()
    assert download(urls, tmp_path, OPTIONS)["file"].notna().all()
    assert {web.url(path) for path in web.paths()} == set(urls) - had


def test_a_row_that_cannot_be_written_leaves_no_part(tmp_path: Path) -> None:
    class Full:
        """A disk with room for ten bytes more."""

        def __init__(self, file: Any) -> None:
            self.file, self.room = file, 10

        def write(self, data: bytes) -> int:
            if self.room == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            taken, self.room = self.file.write(data[: self.room]), 0
            return taken

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    with Ledger(tmp_path) as ledger:
        ledger.add(Row("http://a/"))
        before = (tmp_path / LEDGER).read_bytes()
        ledger._file = Full(ledger._file)
        with pytest.raises(UserError, match="No space left on device"):
            ledger.add(Row("http://b/"))
        assert list(ledger.rows) == ["http://a/"]
    assert (tmp_path / LEDGER).read_bytes() == before


def test_two_runs_in_one_folder_are_rejected(tmp_path: Path) -> None:
    with Ledger(tmp_path), pytest.raises(UserError, match="in use by another download"):
        download(["bad"], tmp_path)
    assert len(download(["bad"], tmp_path)) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("concurrency", 0), ("per_host", 0), ("attempts", 0), ("max_bytes", 0), ("timeout_s", 0), ("backoff_s", -1)],
)
def test_invalid_options_are_rejected(name: str, value: int) -> None:
    with pytest.raises(UserError, match=f"{name}={value}"):
        DownloadOptions(**{name: value})
