"""Documents of product APIs: over real sockets with a cache, from the cache only, and from recorded responses."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bakery.errors import ConfigurationError, one_line
from bakery.products.cache import PageCache
from bakery.products.pages import Pages
from bakery.products.source import CachedPages, HttpPages, RecordedPages, source_from_environment
from bakery.targets.catalog import LookupFailed


class Server:
    """A loopback server with a list of (status, body) for each path; the last one is repeated."""

    def __init__(self):
        self.responses: dict[str, list[tuple[int, bytes]]] = {}
        self.requests: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests.append(f"{self.command} {self.path}")
                queue = server.responses.get(self.path, [(404, b"")])
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


class Jumping:
    """A clock that records how long was slept instead of sleeping."""

    def __init__(self):
        self.slept: list[float] = []

    def now(self):
        return sum(self.slept)

    async def sleep(self, seconds):
        self.slept.append(seconds)


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


def get(source, url):
    return Pages(source).content(url)


def test_a_document_is_cached_until_it_expires(server, tmp_path):
    now = [1000.0]
    source = HttpPages({}, PageCache(tmp_path / "cache", expiry_s=60, now=lambda: now[0]))
    server.responses["/a"] = [(200, b"one"), (200, b"two")]
    assert [get(source, f"{server.url}/a") for _ in range(3)] == [b"one"] * 3
    assert server.requests == ["GET /a"]
    now[0] += 61
    assert get(source, f"{server.url}/a") == b"two"


def test_arbitrary_bytes_survive_the_cache(server, tmp_path):
    server.responses["/a"] = [(200, bytes(range(256)))]
    source = HttpPages({}, PageCache(tmp_path / "cache", expiry_s=60))
    assert get(source, f"{server.url}/a") == get(source, f"{server.url}/a") == bytes(range(256))


def test_an_expired_document_is_used_if_fetching_it_again_fails(server, tmp_path):
    now = [1000.0]
    cache = PageCache(tmp_path / "cache", expiry_s=60, now=lambda: now[0])
    source = HttpPages({}, cache, clock=Jumping())
    server.responses["/a"] = [(200, b"old"), (500, b"")]
    get(source, f"{server.url}/a")
    now[0] += 1000
    assert get(source, f"{server.url}/a") == b"old"


def test_an_invalid_cache_entry_or_directory_is_ignored(tmp_path):
    cache = PageCache(tmp_path / "cache", expiry_s=60)
    cache.write("http://x", b"a")
    (file,) = (tmp_path / "cache").iterdir()
    file.write_text("nonsense")
    assert cache.read("http://x") is None
    (tmp_path / "plain").write_text("")
    PageCache(tmp_path / "plain", expiry_s=60).write("http://x", b"a")
    assert PageCache(tmp_path / "plain", expiry_s=60).read("http://x") is None


def test_a_cache_directory_of_another_user_is_ignored(tmp_path, monkeypatch):
    cache = PageCache(tmp_path / "cache", expiry_s=60)
    cache.write("http://x", b"a")
    assert cache.read("http://x") == b"a"
    owner = (tmp_path / "cache").lstat().st_uid
    monkeypatch.setattr("os.getuid", lambda: owner + 1)
    assert cache.read("http://x") is None


def test_transient_failures_are_retried_with_growing_delays_and_refusals_are_not(server):
    server.responses["/flaky"] = [(503, b""), (429, b""), (200, b"yes")]
    server.responses["/down"] = [(500, b"")]
    clock = Jumping()
    source = HttpPages({}, clock=clock)
    assert get(source, f"{server.url}/flaky") == b"yes"
    assert clock.slept == [1.0, 2.0]
    with pytest.raises(LookupFailed, match="500"):
        get(source, f"{server.url}/down")
    assert server.requests.count("GET /down") == 3
    with pytest.raises(LookupFailed, match="404"):
        get(source, f"{server.url}/gone")
    assert server.requests.count("GET /gone") == 1


def test_an_unreachable_server_is_an_error_with_a_hint(server):
    source = HttpPages({}, clock=Jumping())
    server.close()
    with pytest.raises(LookupFailed) as caught:
        get(source, f"{server.url}/a")
    assert "BAKERY_HTTP_REPLAY" in caught.value.hint
    assert server.url in str(caught.value)


def test_redirects_are_followed_only_to_http(server):
    server.responses["/a"] = [(302, b"/b")]
    server.responses["/b"] = [(200, b"there")]
    server.responses["/evil"] = [(302, b"file:///etc/passwd")]
    source = HttpPages({})
    assert get(source, f"{server.url}/a") == b"there"
    with pytest.raises(LookupFailed):
        get(source, f"{server.url}/evil")


def test_head_returns_the_status(server):
    server.responses["/a"] = [(200, b"")]
    server.responses["/down"] = [(503, b"")]
    source = HttpPages({}, clock=Jumping())
    assert (source.status(f"{server.url}/a"), source.status(f"{server.url}/b")) == (200, 404)
    with pytest.raises(LookupFailed, match="503"):
        source.status(f"{server.url}/down")


def test_a_proxy_from_the_environment_is_used(server):
    server.responses["http://products.example/a"] = [(200, b"by proxy")]
    source = HttpPages({"HTTP_PROXY": server.url})
    assert get(source, "http://products.example/a") == b"by proxy"


def test_offline_uses_cached_documents_of_any_age(tmp_path):
    cache = PageCache(tmp_path / "cache", expiry_s=0)
    cache.write("http://x/a", b"kept")
    assert get(CachedPages(cache), "http://x/a") == b"kept"
    with pytest.raises(LookupFailed, match="--offline"):
        get(CachedPages(cache), "http://x/b")


def test_documents_are_fetched_concurrently_and_once_each():
    """Every response waits until all three requests have arrived."""
    server, barrier = Server(), threading.Barrier(3, timeout=10)

    class Meeting(list[tuple[int, bytes]]):
        def __getitem__(self, index):
            barrier.wait()
            return super().__getitem__(index)

    server.responses = {f"/{name}": Meeting([(200, name.encode())]) for name in "abc"}
    pages = Pages(HttpPages({}))
    urls = [f"{server.url}/{name}" for name in "abca"]
    pages.prefetch(urls)
    assert [pages.content(url) for url in urls] == [b"a", b"b", b"c", b"a"]
    assert sorted(server.requests) == ["GET /a", "GET /b", "GET /c"]
    server.close()


def test_recorded_responses_are_used_instead_of_the_network(tmp_path):
    index = {"get": {"http://x": "a", "http://w": "missing"}, "head": {"default": 403, "http://y": 200}}
    (tmp_path / "index.json").write_text(json.dumps(index))
    (tmp_path / "a").write_bytes(b"recorded")
    recorded = RecordedPages(tmp_path)
    assert get(recorded, "http://x") == b"recorded"
    assert (recorded.status("http://y"), recorded.status("http://z")) == (200, 403)
    with pytest.raises(LookupFailed, match="404"):
        get(recorded, "http://z")
    with pytest.raises(LookupFailed, match="recorded response"):
        get(recorded, "http://w")


def test_an_invalid_index_of_recorded_responses_is_an_error(tmp_path):
    (tmp_path / "index.json").write_text("[]")
    with pytest.raises(ConfigurationError) as caught:
        RecordedPages(tmp_path)
    assert "BAKERY_HTTP_REPLAY" in one_line(caught.value)


def test_the_environment_selects_the_source(tmp_path):
    (tmp_path / "index.json").write_text("{}")
    assert isinstance(source_from_environment(environ={"BAKERY_HTTP_REPLAY": str(tmp_path)}), RecordedPages)
    assert isinstance(source_from_environment(environ={}, offline=True), CachedPages)
    assert isinstance(source_from_environment(environ={"BAKERY_CACHE_EXPIRE_AFTER": "soon"}), HttpPages)
