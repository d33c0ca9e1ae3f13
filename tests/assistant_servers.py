"""A language model and a shop on real sockets, which the test has in its hands."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.program import PATIENCE, ROOT, environment, free_port

_TITLES = {
    "technical support": "SUPPORTBOT_SERVICES__TECH_SUPPORT__URL",
    "product information": "SUPPORTBOT_SERVICES__PRODUCT_INFO__URL",
    "real agent": "SUPPORTBOT_SERVICES__REAL_AGENT__URL",
    "language model": "OPENAI_BASE_URL",
    "shop's tools": "MCP_SERVER_URL",
}
_OPTIONS = ("support", "product", "agent", "assistant", "shop")
_QUICK = {  # what is down is asked again, but not for long
    f"SUPPORTBOT_{who}__{what}": value
    for who in ("ASSISTANT", "SHOP")
    for what, value in (
        ("RETRY__FIRST", "0.01"),
        ("RETRY__MOST", "0.02"),
        ("BREAKER__FAILURES", "1000"),
    )
}


def alone(*named: Mapping[str, str], **changes: str) -> dict[str, str]:
    """An environment that names no model and no shop but these."""
    env = environment()
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", "MCP_SERVER_URL"):
        env.pop(name, None)
    for urls in named:
        env.update(urls)
    return {**env, **_QUICK, **changes}


class Demo:
    """The simulated third parties as a process, which may die and come back.

    Attributes:
        urls: theirs, by the variables of the environment that name them.
    """

    def __init__(self) -> None:
        self._ports = {name: free_port() for name in _OPTIONS}
        self.urls = dict[str, str]()
        self.start()

    def start(self) -> None:
        """Run; the shop begins anew, with no orders of ours."""
        options = [
            word
            for name, port in self._ports.items()
            for word in (f"--{name}-port", str(port))
        ]
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "supportbot.demo", *options),
                *("--delay", "0", "--zeroes", "0"),
            ],
            stdout=subprocess.PIPE,
            env=environment(),
            cwd=ROOT,
            text=True,
        )
        assert self._process.stdout is not None
        line = ""
        while not line.startswith("Ask with"):
            line = self._process.stdout.readline()
            assert line, "the demo did not start"
            for title, variable in _TITLES.items():
                if line.startswith(title) and (url := re.search(r"http://\S+", line)):
                    self.urls[variable] = url[0]

    def stop(self) -> None:
        """Be gone."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def shop_port(self) -> int:
        """Where the shop listens."""
        return self._ports["shop"]

    def tool(self, name: str, **arguments: object) -> str:
        """What a tool of the shop says, asked by ourselves."""
        params = {"name": name, "arguments": arguments}
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        status, _, body = post(self.shop_port, "/mcp", json.dumps(request).encode())
        assert status == 200, body
        _, _, data = body.decode().partition("data: ")
        content = json.loads(data)["result"]["content"]
        return "\n".join(part["text"] for part in content)

    def orders(self, customer_id: str) -> list[str]:
        """Ids of all orders of a customer."""
        return re.findall(
            r"Order ID: (\S+)", self.tool("list_orders", customer_id=customer_id)
        )

    def stock(self, sku: str) -> int:
        """Units that are left of a product."""
        found = re.search(r"Stock: (\d+)", self.tool("get_product", sku=sku))
        assert found is not None
        return int(found[1])


@contextmanager
def demo() -> Iterator[Demo]:
    """The simulated third parties; gone afterwards."""
    running = Demo()
    try:
        yield running
    finally:
        running.stop()


def post(port: int, path: str, body: bytes) -> tuple[int, str, bytes]:
    """Status, media type and body of the answer to what an MCP client sends."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    fields = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }
    try:
        connection.request("POST", path, body, fields)
        response = connection.getresponse()
        kind = response.getheader("Content-Type", "text/plain")
        return response.status, kind, response.read()
    finally:
        connection.close()


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler, bytes], None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                with suppress(OSError, HTTPException):
                    answer(self, self.rfile.read(length))

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class HeldShop:
    """Stands in front of the demo's shop, and holds calls of a tool back.

    Args:
        port: of the demo's shop.
        name: of the tool.
        performed: the shop gets the call, and its answer is held; else nothing gets
            there. What was held when `let` is called is answered if it was performed,
            and dropped if not.

    Attributes:
        held: set when a call is held.
        called: the names of all tools that were called.
        url: where clients find it.
    """

    def __init__(self, port: int, name: str, *, performed: bool) -> None:
        self._behind, self._name, self._performed = port, name, performed
        self._let = threading.Event()
        self.held = threading.Event()
        self.called = list[str]()
        self._listening = _Listening(self._answer)
        self.url = f"http://127.0.0.1:{self._listening.server_address[1]}/mcp"

    def let(self) -> None:
        """Hold nothing any more."""
        self._let.set()

    def close(self) -> None:
        """Be gone."""
        self._let.set()
        self._listening.close()

    def _answer(self, asked: BaseHTTPRequestHandler, body: bytes) -> None:
        message = json.loads(body)
        holding = False
        if message.get("method") == "tools/call":
            name = message["params"]["name"]
            self.called.append(name)
            holding = name == self._name and not self._let.is_set()
        if holding and not self._performed:
            self._hold()
            return
        status, kind, answer = post(self._behind, asked.path, body)
        if holding:
            self._hold()
        asked.send_response(status)
        asked.send_header("Content-Type", kind)
        asked.send_header("Content-Length", str(len(answer)))
        asked.end_headers()
        asked.wfile.write(answer)

    def _hold(self) -> None:
        self.held.set()
        assert self._let.wait(PATIENCE)


Words = Callable[[Mapping[str, Any]], Iterable[str]]


class PlayedModel:
    """A language model whose words the test lets come.

    Args:
        words: gives the pieces of the text, each when it may come, to a request.

    Attributes:
        asked: the bodies of all requests.
        env: an environment in which it is the model, and nothing else is there.
        gone: set when a client hung up before the end.
    """

    def __init__(self, words: Words) -> None:
        self._words = words
        self.asked = list[dict[str, Any]]()
        self.gone = threading.Event()
        self._listening = _Listening(self._answer)
        url = f"http://127.0.0.1:{self._listening.server_address[1]}/v1"
        self.env = alone(OPENAI_BASE_URL=url, OPENAI_API_KEY="key")

    def close(self) -> None:
        """Take no more connections."""
        self._listening.close()

    def _answer(self, asked: BaseHTTPRequestHandler, body: bytes) -> None:
        request = json.loads(body)
        self.asked.append(request)
        asked.send_response(200)
        asked.send_header("Content-Type", "text/event-stream")
        asked.end_headers()
        try:
            for piece in self._words(request):
                asked.wfile.write(_event({"content": piece}))
        except OSError:
            self.gone.set()
            raise
        asked.wfile.write(_event({}, "stop") + b"data: [DONE]\n\n")


def _event(delta: Mapping[str, str], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    chunk = {"object": "chat.completion.chunk", "model": "played", "choices": [choice]}
    return b"data: %b\n\n" % json.dumps(chunk).encode()


class Gate:
    """Words that come as far as the test lets them.

    Args:
        pieces: of each answer; before each but the first it waits for `let`.
    """

    def __init__(self, *pieces: str) -> None:
        self._pieces = pieces
        self._may = threading.Semaphore(0)
        self._open = False

    def __call__(self, asked: Mapping[str, Any]) -> Iterator[str]:
        for number, piece in enumerate(self._pieces):
            if number and not self._open:
                assert self._may.acquire(timeout=PATIENCE)
            yield piece

    def let(self) -> None:
        """Let the next piece come."""
        self._may.release()

    def open(self) -> None:
        """Let all come, from now on."""
        self._open = True
        for _ in self._pieces:
            self._may.release()
