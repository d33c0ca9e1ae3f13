"""The simulated shop's server: MCP over streamable HTTP, without sessions.

It answers each request with server-sent events, as its original does, and takes what
the protocols of 2024-11-05 to 2025-06-18 send.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from supportbot.channels.http.exchange import Exchange
from supportbot.demo.shop_tools import ShopTools
from supportbot.demo.web import encode, respond_json

PATH = "/mcp"
PROTOCOLS = ("2024-11-05", "2025-03-26", "2025-06-18")
NAME, VERSION = "order-mcp", "1.22.0"

_PARSE_ERROR, _INVALID_REQUEST = -32700, -32600
_METHOD_NOT_FOUND, _INVALID_PARAMS = -32601, -32602
_CAPABILITIES: Mapping[str, Any] = {
    "experimental": {},
    "prompts": {"listChanged": False},
    "resources": {"subscribe": False, "listChanged": False},
    "tools": {"listChanged": False},
}
_STREAM = "text/event-stream"
_NO_ID = "server-error"  # in answers to what has none


class _Fault(Exception):
    """A JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class OrderMcp:
    """Answer requests.

    Args:
        tools: that are offered.
    """

    def __init__(self, tools: ShopTools) -> None:
        self._tools = tools

    def answer(self, exchange: Exchange) -> None:
        """Answer one HTTP request."""
        if exchange.target == f"{PATH}/":
            host = exchange.header(b"host") or ""
            where = f"http://{host}{PATH}".encode("latin-1")
            exchange.respond(307, b"", "text/plain", [(b"Location", where)])
        elif exchange.target != PATH:
            exchange.respond(404, b"Not Found", "text/plain; charset=utf-8")
        elif exchange.method != b"POST":
            _refuse(exchange, 405, "Method Not Allowed", allow=True)
        elif not {"application/json", _STREAM} <= _media_types(exchange, b"accept"):
            _refuse(
                exchange,
                406,
                "Not Acceptable: Client must accept both application/json and"
                " text/event-stream",
            )
        elif "application/json" not in _media_types(exchange, b"content-type"):
            exchange.respond(400, b"Invalid Content-Type header", "text/plain")
        else:
            self._post(exchange)

    def _post(self, exchange: Exchange) -> None:
        version = exchange.header(b"mcp-protocol-version")
        try:
            message = msgspec.json.decode(exchange.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            _refuse(exchange, 400, f"Parse error: {error}", _PARSE_ERROR)
            return
        if not _is_message(message):
            what = "Validation error: not a JSON-RPC message"
            _refuse(exchange, 400, what, _INVALID_PARAMS)
        elif version is not None and version not in PROTOCOLS:
            supported = ", ".join(PROTOCOLS)
            what = f"Bad Request: Unsupported protocol version: {version}."
            _refuse(exchange, 400, f"{what} Supported versions: {supported}")
        elif "method" not in message or "id" not in message:
            exchange.respond(202, b"", "application/json")  # nothing to say to it
        elif exchange.begin_stream(_STREAM):
            answer = encode(self.reply(message))
            exchange.send(b"event: message\r\ndata: %b\r\n\r\n" % answer)
            exchange.finish()

    def reply(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a JSON-RPC request."""
        head = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            result = self._result(request["method"], request.get("params") or {})
        except _Fault as fault:
            return head | {"error": {"code": fault.code, "message": str(fault)}}
        return head | {"result": result}

    def _result(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        if method == "initialize":
            return _initialized(params)
        if method == "ping":
            return {}
        if method == "tools/list":
            return {"tools": self._tools.listed()}
        if method == "tools/call":
            return self._called(params)
        raise _Fault(_METHOD_NOT_FOUND, "Method not found")

    def _called(self, params: Mapping[str, Any]) -> dict[str, Any]:
        name, arguments = params.get("name"), params.get("arguments") or {}
        if not (isinstance(name, str) and isinstance(arguments, dict)):
            raise _Fault(_INVALID_PARAMS, "Invalid request parameters")
        told = self._tools.call(name, arguments)
        result: dict[str, Any] = {"content": [{"type": "text", "text": told.text}]}
        if not told.failed:
            result["structuredContent"] = {"result": told.text}
        return result | {"isError": told.failed}


def _initialized(params: Mapping[str, Any]) -> dict[str, Any]:
    wanted = params.get("protocolVersion")
    if not isinstance(wanted, str):
        raise _Fault(_INVALID_PARAMS, "Invalid request parameters")
    return {
        "protocolVersion": wanted if wanted in PROTOCOLS else PROTOCOLS[-1],
        "capabilities": _CAPABILITIES,
        "serverInfo": {"name": NAME, "version": VERSION},
    }


def _media_types(exchange: Exchange, name: bytes) -> set[str]:
    """The media types that a header names, without their parameters."""
    named = exchange.header(name) or ""
    return {one.partition(";")[0].strip().lower() for one in named.split(",")}


def _is_message(message: Any) -> bool:
    """Whether it is a request, a notification or a response."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return False
    if "method" not in message:
        return "id" in message and ("result" in message or "error" in message)
    return (
        isinstance(message["method"], str)
        and isinstance(message.get("params", {}), dict)
        and isinstance(message.get("id", 0), str | int)
        and not isinstance(message.get("id"), bool)
    )


def _refuse(
    exchange: Exchange,
    status: int,
    why: str,
    code: int = _INVALID_REQUEST,
    *,
    allow: bool = False,
) -> None:
    error = {"jsonrpc": "2.0", "id": _NO_ID, "error": {"code": code, "message": why}}
    headers = [(b"Allow", b"POST")] if allow else []
    respond_json(exchange, status, error, *headers)
