"""Fetching over real sockets: the cache, what happens when a source fails, and the recorded answers."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bakery.errors import ConfigurationError, one_line
from bakery.products.fetch import Cache, Network, Offline, Once, Replay, source_from_environment
from bakery.targets.catalog import LookupFailed


class Server:
    """Answers on loopback with what a test put there: a list of (status, body) per path, the last one for ever."""

    def __init__(self):
        self.answers: dict[str, list[tuple[int, bytes]]] = {}
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.asked.append(f"{self.command} {self.path}")
                queue = server.answers.get(self.path, [(404, b"")])
                status, body = queue.pop(0) if len(queue) > 1 else queue[0]
                self.send_response(status)
                if status in (301, 302):
                    self.send_header("Location", body.decode())
                    body = b""
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *args):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self):
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Server()
    yield made
    made.close()


def network(cache=None):
    waits: list[float] = []
    return Network(cache=cache, sleep=waits.append), waits


def test_an_answer_is_kept_and_not_asked_for_again_until_it_expires(server, tmp_path):
    now = [1000.0]
    cache = Cache(tmp_path / "cache", expiry_s=60, now=lambda: now[0])
    server.answers["/a"] = [(200, b"one"), (200, b"two")]
    source, _ = network(cache)
    assert [source.get(f"{server.url}/a") for _ in range(3)] == [b"one"] * 3
    assert server.asked == ["GET /a"]
    now[0] += 61
    assert source.get(f"{server.url}/a") == b"two"


def test_bytes_that_are_no_text_survive_the_cache(server, tmp_path):
    server.answers["/a"] = [(200, bytes(range(256)))]
    source, _ = network(Cache(tmp_path / "cache"))
    assert source.get(f"{server.url}/a") == source.get(f"{server.url}/a") == bytes(range(256))


def test_a_stale_answer_is_used_where_the_source_fails(server, tmp_path):
    now = [1000.0]
    cache = Cache(tmp_path / "cache", expiry_s=60, now=lambda: now[0])
    server.answers["/a"] = [(200, b"old"), (500, b"")]
    source, _ = network(cache)
    source.get(f"{server.url}/a")
    now[0] += 1000
    assert source.get(f"{server.url}/a") == b"old"


def test_a_cache_of_somebody_else_or_with_nonsense_is_not_used(server, tmp_path):
    cache = Cache(tmp_path / "cache")
    cache.write("http://x", b"a")
    (file,) = (tmp_path / "cache").iterdir()
    file.write_text("nonsense")
    assert cache.read("http://x") is None
    (tmp_path / "plain").write_text("")
    Cache(tmp_path / "plain").write("http://x", b"a")
    assert Cache(tmp_path / "plain").read("http://x") is None


def test_what_may_pass_is_tried_again_and_a_refusal_is_not(server):
    server.answers["/flaky"] = [(503, b""), (429, b""), (200, b"yes")]
    server.answers["/gone"] = [(404, b"")]
    source, waits = network()
    assert source.get(f"{server.url}/flaky") == b"yes"
    assert len(waits) == 2
    with pytest.raises(LookupFailed, match="404"):
        source.get(f"{server.url}/gone")
    assert server.asked.count("GET /gone") == 1


def test_a_source_that_cannot_be_reached_says_what_to_do(server):
    source, _ = network()
    server.close()
    with pytest.raises(LookupFailed) as caught:
        source.get(f"{server.url}/a")
    assert "BAKERY_HTTP_REPLAY" in one_line(caught.value)
    assert server.url in one_line(caught.value)


def test_redirects_are_followed_but_not_to_files(server):
    server.answers["/a"] = [(302, b"/b")]
    server.answers["/b"] = [(200, b"there")]
    server.answers["/evil"] = [(302, b"file:///etc/passwd")]
    source, _ = network()
    assert source.get(f"{server.url}/a") == b"there"
    with pytest.raises(LookupFailed):
        source.get(f"{server.url}/evil")


def test_head_gives_the_status(server):
    server.answers["/a"] = [(200, b"")]
    source, _ = network()
    assert (source.head(f"{server.url}/a"), source.head(f"{server.url}/b")) == (200, 404)


def test_offline_uses_answers_of_any_age_and_asks_nobody(tmp_path):
    cache = Cache(tmp_path / "cache", expiry_s=0)
    cache.write("http://x/a", b"kept")
    assert Offline(cache).get("http://x/a") == b"kept"
    with pytest.raises(LookupFailed, match="--offline"):
        Offline(cache).get("http://x/b")


def test_many_are_asked_side_by_side_and_each_once(server):
    together = threading.Barrier(3, timeout=10)

    class Meeting:
        def get(self, url):
            together.wait()
            return url.encode()

        def head(self, url):
            return 200

    ask = Once(Meeting())
    ask.prefetch(["a", "b", "c", "a"])
    assert ask.get("b") == b"b"


def test_recorded_answers_are_complete_and_their_index_is_checked(tmp_path):
    (tmp_path / "index.json").write_text(
        json.dumps({"get": {"http://x": "a"}, "head": {"default": 403, "http://y": 200}})
    )
    (tmp_path / "a").write_bytes(b"answer")
    replay = Replay(tmp_path)
    assert replay.get("http://x") == b"answer"
    assert (replay.head("http://y"), replay.head("http://z")) == (200, 403)
    with pytest.raises(LookupFailed, match="404"):
        replay.get("http://z")
    (tmp_path / "index.json").write_text("[]")
    with pytest.raises(ConfigurationError) as caught:
        Replay(tmp_path)
    assert "BAKERY_HTTP_REPLAY" in caught.value.hint


def test_the_environment_decides_who_is_asked(tmp_path):
    (tmp_path / "index.json").write_text("{}")
    assert isinstance(source_from_environment(environ={"BAKERY_HTTP_REPLAY": str(tmp_path)}), Replay)
    assert isinstance(source_from_environment(environ={}, offline=True), Offline)
    assert isinstance(source_from_environment(environ={"BAKERY_CACHE_EXPIRE_AFTER": "soon"}), Network)
