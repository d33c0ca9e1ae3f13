"""The assistant on the real program: talked to, killed, and left by model and shop."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.sync.client import connect

from tests.assistant_servers import (
    Demo,
    Gate,
    HeldShop,
    PlayedModel,
    alone,
    demo,
)
from tests.program import (
    PATIENCE,
    EventStream,
    Server,
    Terminal,
    chat,
    command,
    seen,
    served,
    terminal,
)
from tests.test_end_to_end import ASK_SOCKS, SOCKS

DEMO = ("--demo", "--demo-delay", "0", "--demo-zeroes", "0")
MEMORY = ("--database", "memory")
ENDED = {0, -signal.SIGTERM}
"""Statuses of one that ended when asked to; `twist` hands on the signal it got."""

ALICE = {"email": "alice@example.com", "pin": "1234"}
LOGIN = "My email is alice@example.com and PIN is 1234"
WELCOME = "Welcome, Alice Johnson! You are logged in."
MONITOR = "1 x 24-inch Monitor - Model D (MON-0054): $166.85"
PLACED, QUESTION = "Your order is placed:", "Shall I place this order?"
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
WORDS = ("One two", " three.\n\nFour five", " six.")
BLOCKS = ("One two three.", "Four five six.")
WHOLE = "\n\n".join(BLOCKS)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "chat.log"


@pytest.fixture
def database(tmp_path: Path) -> tuple[str, str]:
    return "--database", f"sqlite:///{tmp_path / 'chat.db'}"


@pytest.fixture(scope="module")
def outside() -> Iterator[Demo]:
    """Model and shop in a process of their own, which outlives the program's."""
    with demo() as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One that shows all of it by itself."""
    with served(*DEMO, *MEMORY, env=alone()) as running:
        yield running


@pytest.fixture
def gate() -> Gate:
    return Gate(*WORDS)


@pytest.fixture
def model(gate: Gate) -> Iterator[PlayedModel]:
    played = PlayedModel(gate)
    yield played
    gate.open()
    played.close()


def order_number(text: str) -> str:
    """The number in a receipt."""
    found = re.search(f"Order number: ({UUID.pattern})", text)
    assert found is not None, text
    return found[1]


def new_session(server: Server) -> str:
    """The id of one in which customers can log in."""
    id: str = server.ask("POST", "/api/session/new").json["session_id"]
    return id


def logged_in(server: Server) -> str:
    """The id of a session of Alice's."""
    id = new_session(server)
    assert server.ask("POST", f"/api/session/{id}/login", ALICE).status == 200
    return id


def answered(server: Server, id: str, message: str, **fields: object) -> str:
    """The text of a complete answer."""
    said = server.said(message, session_id=id, **fields)
    assert said["outcome"] == "complete", said
    text: str = said["response"]
    return text


def says(screen: Terminal, message: str) -> str:
    """Type a message; returns what is shown until the next prompt, without that."""
    typed = f"> {message}\n"
    before = seen(screen.shown).count(typed)
    screen.type(f"{message}\n")
    while True:
        screen.until("> ", screen.shown.count("> ") + 1)
        shown = seen(screen.shown)
        if shown.count(typed) > before and shown.endswith("\n> "):
            return shown.rpartition(typed)[2].removesuffix("> ")


# The example conversation


def test_the_example_conversation_on_a_terminal(log: Path) -> None:
    with terminal(*DEMO, log=log, env=alone()) as screen:
        screen.until("> ")
        assert "please tell me your e-mail address and your PIN" in says(
            screen, "Hello"
        )
        assert WELCOME in says(screen, LOGIN)
        assert "**MON-0054** 24-inch Monitor - Model D: $166.85, 9 in" in says(
            screen, "Show me monitors"
        )
        receipt = says(screen, "I want to order MON-0054")
        assert f"{PLACED}\n- {MONITOR}\nTotal: $166.85\n" in receipt
        assert "$166.85, 8 in stock" in says(screen, "Tell me about MON-0054")
        summary = says(screen, "Order two of it")
        assert "- 2 x 24-inch Monitor - Model D (MON-0054): $333.70" in summary
        assert QUESTION in summary
        assert PLACED not in summary
        second = says(screen, "yes")
        assert PLACED in second
        assert PLACED not in says(screen, "yes")
        orders = says(screen, "Show me my orders")
        numbers = {order_number(receipt), order_number(second)}
        assert set(UUID.findall(orders)) == numbers
        history = says(screen, "/history")
        assert "1234" not in history
        assert "My email is alice@example.com and PIN ****" in history
        screen.type("/quit\n")
        assert screen.ended() == 0
    logged = log.read_text()
    assert logged.count("complete after") == 9
    assert "alice@example.com" not in logged
    assert "PIN is" not in logged


def test_the_example_conversation_over_http(server: Server) -> None:
    def about() -> Any:
        return server.ask("GET", f"/api/session/{id}").json

    greeted = server.said("Hello")
    id = greeted["session_id"]
    assert "your e-mail address and your PIN" in greeted["response"]
    assert (about()["is_authenticated"], about()["customer_info"]) == (False, None)
    login = server.said(LOGIN, session_id=id)
    assert login["response"] == WELCOME
    (call,) = login["tool_calls"]
    arguments = {"email": ALICE["email"], "pin": "****"}
    expected = {"name": "verify_customer_pin", "arguments": arguments, "outcome": "ok"}
    assert call == expected
    assert about()["is_authenticated"] is True
    customer = about()["customer_info"]
    assert (customer["name"], customer["email"]) == ("Alice Johnson", ALICE["email"])
    assert UUID.fullmatch(customer["customer_id"])
    assert "MON-0054" in answered(server, id, "Show me monitors")
    receipt = answered(server, id, "I want to order MON-0054")
    assert receipt.startswith(f"{PLACED}\n\n- {MONITOR}\n\nTotal: $166.85\n\n")
    assert "8 in stock" in answered(server, id, "Tell me about MON-0054")
    told = answered(server, id, f"Show me order {order_number(receipt)}")
    assert "submitted" in told
    assert "MON-0054: 1 x $166.85" in told
    said = [one["content"] for one in about()["history"]]
    assert (len(said), about()["message_count"]) == (12, 12)
    assert said[2] == "My email is alice@example.com and PIN ****"


def test_the_example_conversation_over_a_websocket(server: Server) -> None:
    with connect(f"ws://127.0.0.1:{server.port}/ws") as socket:

        def asked(action: str, **fields: object) -> None:
            socket.send(json.dumps({"action": f"chatbot_{action}", **fields}))

        def heard(kind: str) -> list[Any]:
            told = [json.loads(socket.recv(PATIENCE))]
            while told[-1]["type"] != kind:
                assert told[-1]["type"] != "error", told
                told.append(json.loads(socket.recv(PATIENCE)))
            return told

        def says(message: str, **fields: object) -> list[Any]:
            asked("post_message", session_id=id, user_message=message, **fields)
            return heard("processing_end")

        asked("session_start")
        id = heard("session_start")[-1]["data"]["session_id"]
        assert says(LOGIN)[1]["data"] == WELCOME
        message = says("I want to order MON-0055")[1]
        assert message["data"].startswith(PLACED)
        told = says("Show me monitors", stream=True)
        (whole,) = [one["data"] for one in told if one["type"] == "message"]
        deltas = [one["data"]["text"] for one in told if one["type"] == "message_delta"]
        assert len(deltas) > 50
        assert "".join("".join(deltas).split()) == "".join(whole.split())


def test_an_order_needs_a_yes_and_a_yes_orders_once(server: Server) -> None:
    id = logged_in(server)
    before = answered(server, id, "Tell me about MON-0059")
    summary = answered(server, id, "Order two of it")
    assert "- 2 x 24-inch Monitor - Model I (MON-0059): $319.42" in summary
    assert QUESTION in summary
    assert answered(server, id, "Tell me about MON-0059") == before
    assert QUESTION in answered(server, id, "Order two of it")
    assert answered(server, id, "no") == "All right, nothing was ordered."
    assert PLACED not in answered(server, id, "yes")
    answered(server, id, "Tell me about MON-0059")
    assert QUESTION in answered(server, id, "Order two of it")
    receipt = answered(server, id, "yes", message_id="the-yes")
    assert PLACED in receipt
    assert answered(server, id, "yes", message_id="the-yes") == receipt
    assert PLACED not in answered(server, id, "yes")
    after = answered(server, id, "Tell me about MON-0059")
    left = [int(re.findall(r"(\d+) in stock", text)[0]) for text in (before, after)]
    assert left[1] == left[0] - 2


def test_who_is_logged_in_is_who_has_proved_it_here(server: Server) -> None:
    id = new_session(server)
    laura = {"email": "laurahenderson@example.org", "pin": "9999"}
    wrong = server.ask("POST", f"/api/session/{id}/login", laura)
    assert wrong.status == 401
    assert server.ask("GET", f"/api/session/{id}").json["is_authenticated"] is False
    assert "logged in" in answered(server, id, "I want to order MON-0054")
    id = logged_in(server)
    other = new_session(server)
    assert "logged in" in answered(server, other, "Show me my orders")
    assert server.ask("POST", f"/api/session/{id}/logout").status == 200
    assert server.ask("GET", f"/api/session/{id}").json["customer_info"] is None
    assert "logged in" in answered(server, id, "Show me my orders")
    id = logged_in(server)
    reset = server.ask("POST", f"/api/reset/{id}").json
    assert reset == {"status": "success", "message": "Session reset", "session_id": id}
    about = server.ask("GET", f"/api/session/{id}").json
    assert (about["is_authenticated"], about["history"]) == (False, [])
    assert "logged in" in answered(server, id, "Show me my orders")


def test_a_yes_does_not_outlast_the_login(server: Server) -> None:
    id = logged_in(server)
    answered(server, id, "Tell me about MON-0060")
    assert QUESTION in answered(server, id, "Order two of it")
    assert server.ask("POST", f"/api/session/{id}/logout").status == 200
    assert PLACED not in answered(server, id, "yes")


@pytest.mark.parametrize("chosen", ["my-session-123", "user-123"])
def test_chosen_ids_can_be_talked_in_but_not_logged_in(
    server: Server, chosen: str
) -> None:
    body = {"message": "What monitors do you have?", "session_id": chosen}
    said = server.ask("POST", "/api/chat", body).json
    assert "MON-0054" in said["response"]
    assert said["session_id"] == chosen
    query = urlencode({"message": "Show me all products", "session_id": chosen})
    *chunks, done = EventStream(server.port, "GET", f"/api/chat/stream?{query}").rest()
    assert "COM-0001" in "".join(chunk["chunk"] for chunk in chunks)
    assert (done["done"], done["session_id"]) == (True, chosen)
    assert "chosen by a client" in answered(server, chosen, LOGIN)
    refused = server.ask("POST", f"/api/session/{chosen}/login", ALICE)
    assert refused.status == 409
    assert "chosen by a client" in refused.json["detail"]
    offered = refused.json["detail"].split()[-1]
    history = server.ask("GET", f"/api/session/{chosen}").body.decode()
    assert offered not in history  # which others may read
    assert server.ask("GET", f"/api/session/{chosen}").json["customer_info"] is None
    assert "logged in" in answered(server, chosen, "I want to order MON-0054")
    assert answered(server, offered, LOGIN) == WELCOME


def test_the_tools_that_are_told_are_those_of_the_model(server: Server) -> None:
    tools = server.ask("GET", "/api/tools").json["tools"]
    assert [tool["name"] for tool in tools] == [
        *("list_products", "get_product", "search_products"),
        *("list_orders", "get_order", "create_order"),
    ]
    assert all(tool.keys() == {"name", "description", "parameters"} for tool in tools)
    described = json.dumps(tools)
    assert "customer_id" not in described
    assert "unit_price" not in described


def test_what_is_asked_of_the_model_and_the_shop_is_counted(server: Server) -> None:
    answered(server, new_session(server), "Tell me about MON-0054")
    figures = server.ask("GET", "/metrics").body.decode()
    for service in ("assistant", "shop"):
        counted = f'supportbot_attempts_total{{result="whole",service="{service}"}}'
        assert counted in figures


def test_the_model_hears_no_pin_and_is_offered_what_the_customer_may_do(
    model: PlayedModel, gate: Gate, outside: Demo
) -> None:
    gate.open()
    env = model.env | {"MCP_SERVER_URL": outside.urls["MCP_SERVER_URL"]}
    with served(*MEMORY, env=env) as server:
        id = new_session(server)
        answered(server, id, "Hello")
        answered(server, id, f"{LOGIN}. Which monitors do you have?")
        assert "alice" not in "".join(server.log)
    before, after = model.asked
    asked = "My email is alice@example.com and PIN ****. Which monitors do you have?"
    assert said_by(after["messages"], "user") == ["Hello", asked]
    assert "PIN is" not in json.dumps(after)
    browsing = {"list_products", "get_product", "search_products"}
    ordering = {"list_orders", "get_order", "create_order"}
    assert offered(before) == browsing
    assert offered(after) == browsing | ordering
    assert "customer_id" not in json.dumps(after["tools"])


def offered(request: dict[str, Any]) -> set[str]:
    return {tool["function"]["name"] for tool in request["tools"]}


# The chat with the model alone


def test_the_words_appear_as_they_come(log: Path) -> None:
    gate = Gate(*WORDS)
    model = PlayedModel(gate)
    try:
        with terminal("--assistant", log=log, env=model.env) as screen:
            assert "/clear" in screen.until("> ")
            screen.type("I need help\n")  # which else would go to another service
            screen.until("One two")
            assert "three" not in screen.shown
            gate.let()
            screen.until("Four five")
            assert "six" not in screen.shown
            gate.let()
            screen.until("> ", 2)
            history = says(screen, "/history")
            assert history == "> I need help\n\nOne two three.\nFour five six.\n\n"
            gate.open()
            says(screen, "And then?")
            assert "forgotten" in says(screen, "/clear")
            says(screen, "Hello?")
            assert "/quit" in says(screen, "/help")
            screen.type("/quit\n")
            assert screen.ended() == 0
    finally:
        gate.open()
        model.close()
    first, second, third = (request["messages"] for request in model.asked)
    assert said_by(first, "user") == ["I need help"]
    assert said_by(second, "user") == ["I need help", "And then?"]
    assert said_by(second, "assistant") == [WHOLE]
    assert said_by(third, "user") == ["Hello?"]
    assert said_by(third, "assistant") == []
    rules, kept = (said_by(request, "system")[0][:200] for request in (first, third))
    assert rules == kept


def said_by(messages: list[dict[str, str]], role: str) -> list[str]:
    return [one["content"] for one in messages if one["role"] == role]


def test_ctrl_c_stops_the_words_and_ctrl_d_ends(log: Path) -> None:
    stopped = threading.Event()

    def words(asked: object) -> Iterator[str]:
        yield "One two"
        assert stopped.wait(PATIENCE)
        for number in range(100_000):
            yield f" {number}"

    model = PlayedModel(words)
    try:
        with terminal("--assistant", log=log, env=model.env) as screen:
            screen.until("> ")
            screen.type("Hello\n")
            screen.until("One two")
            screen.type("\x03")
            screen.until("(stopped)")
            screen.until("> ", 2)
            stopped.set()
            assert model.gone.wait(PATIENCE)
            screen.type("\x04")
            assert screen.ended() == 0
    finally:
        stopped.set()
        model.close()


def test_the_demos_model_remembers_until_it_is_cleared(log: Path) -> None:
    with terminal("--assistant", *DEMO, log=log, env=alone()) as screen:
        screen.until("> ")
        says(screen, "My name is Ada.")
        assert "Ada" in says(screen, "What is my name?")
        says(screen, "/clear")
        assert "Ada" not in says(screen, "What is my name?")
        screen.type("exit\n")
        assert screen.ended() == 0


# Without a model, or with one that refuses


def test_no_key_is_told_in_one_line(log: Path) -> None:
    ran = chat("--assistant", "Hello", log=log, env=alone())
    assert (ran.returncode, ran.stdout) == (78, b"")
    assert ran.stderr.startswith(b"supportbot: OPENAI_API_KEY: ")
    assert ran.stderr.count(b"\n") == 1


def test_a_key_that_is_refused_leaves_the_other_services(
    log: Path, outside: Demo
) -> None:
    env = alone(outside.urls, OPENAI_API_KEY="wrong", OPENAI_MODEL="demo")
    ran = chat(typed=f"Hello\n{ASK_SOCKS}\n", log=log, env=env)
    assert ran.stderr == b""
    refused, _, answer = ran.stdout.decode().strip().partition("\n\n")
    assert refused.count("\n") == 0
    assert "The assistant does not accept questions at the moment." in refused
    assert "“real person”" in refused
    assert answer.strip() == SOCKS.strip()
    assert "mend assistant.api_key (OPENAI_API_KEY)" in log.read_text()
    assert "wrong" not in log.read_text()


def test_the_model_is_named_in_a_file(tmp_path: Path, outside: Demo) -> None:
    log, written = tmp_path / "chat.log", tmp_path / ".env"
    url = outside.urls["OPENAI_BASE_URL"]

    def ran(**variables: str) -> subprocess.CompletedProcess[bytes]:
        lines = (f"{name}={value}\n" for name, value in variables.items())
        written.write_text("".join(lines))
        return subprocess.run(
            command("--assistant", "Hello", log=log),
            cwd=tmp_path,
            env=alone(),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )

    good = ran(OPENAI_API_KEY="any", OPENAI_BASE_URL=url, OPENAI_MODEL="demo")
    assert (good.returncode, good.stderr) == (0, b"")
    assert good.stdout.startswith(b"Hello")
    unknown = {"OPENAI_BASE_URL": url, "OPENAI_MODEL": "unknown-model"}
    bad = ran(OPENAI_API_KEY="any", **unknown)
    assert (bad.returncode, bad.stderr) == (69, b"")
    assert bad.stdout.count(b"\n") == 1
    assert "mend assistant.model (OPENAI_MODEL)" in log.read_text()


# The end, and another beginning


def test_an_answer_that_a_crash_cut_is_asked_again(
    database: tuple[str, str], model: PlayedModel, gate: Gate
) -> None:
    with served(*database, env=model.env) as server:
        server.streamed("Hello", session_id="s", message_id="m1").close()
        follower = server.events("s")
        gate.let()
        told = follower.numbered("paragraph_said")
        assert follower.until("delta")["text"].startswith("Four")
        server.kill()
        follower.close()
    gate.open()
    with served(*database, env=model.env, port=server.port) as server:
        retold = server.events("s", live="false").numbered("end")
        assert retold[: len(told)] == told
        assert (retold[-1]["type"], retold[-1]["outcome"]) == ("reply_ended", "cut")
        assert answered(server, "s", "Hello", message_id="m1") == WHOLE
        events = server.events("s", live="false").numbered("end")
        assert [one["seq"] for one in events] == list(range(1, len(events) + 1))
        assert [one["type"] for one in events].count("customer_said") == 1
    _, again = (request["messages"] for request in model.asked)
    assert said_by(again, "user") == ["Hello"]
    assert said_by(again, "assistant") == []


def test_an_answer_is_ended_before_the_program_is(
    database: tuple[str, str], model: PlayedModel, gate: Gate
) -> None:
    with served(*database, env=model.env) as server:
        answer = server.streamed("Hello", session_id="s")
        gate.let()
        assert answer.next() == ("message", {"chunk": BLOCKS[0]})
        server.stop()
        gate.let()
        chunk, done = answer.rest()
        assert chunk["chunk"].strip() == BLOCKS[1]
        assert done["outcome"] == "complete"
        assert server.ended() in ENDED


@pytest.mark.parametrize("performed", [True, False], ids=["performed", "not"])
def test_a_crash_in_the_middle_of_an_order_orders_once_at_most(
    database: tuple[str, str], outside: Demo, performed: bool
) -> None:
    shop = HeldShop(outside.shop_port, "create_order", performed=performed)
    env = alone(
        outside.urls,
        MCP_SERVER_URL=shop.url,
        OPENAI_API_KEY="any",
        SUPPORTBOT_SHOP__DEADLINES__TOTAL="1",
    )
    stock = outside.stock("NET-0171")
    message = "I want to order NET-0171"
    try:
        with served(*database, env=env) as server:
            id = logged_in(server)
            about = server.ask("GET", f"/api/session/{id}").json
            customer = about["customer_info"]["customer_id"]
            before = outside.orders(customer)
            server.streamed(message, session_id=id, message_id="m1").close()
            assert shop.held.wait(PATIENCE)
            server.kill()
        shop.let()
        with served(*database, env=env, port=server.port) as server:
            told = answered(server, id, "Did you get that?")
            again = answered(server, id, message, message_id="m1")
            said = server.said("Thanks!", session_id=id)["response"]
        made = [one for one in outside.orders(customer) if one not in before]
    finally:
        shop.close()
    if performed:
        assert [order_number(told)] == made
        assert "NET-0171" in told
        assert PLACED not in said
    else:
        assert "not placed" in told
    assert shop.called.count("create_order") == 1 + (not performed and bool(made))
    assert len(made) <= 1
    assert outside.stock("NET-0171") == stock - len(made)
    assert ("Order number" in again or PLACED in again) == bool(made)


def test_an_order_is_ended_before_the_program_is(
    database: tuple[str, str], outside: Demo, tmp_path: Path
) -> None:
    shop = HeldShop(outside.shop_port, "create_order", performed=True)
    env = alone(outside.urls, MCP_SERVER_URL=shop.url, OPENAI_API_KEY="any")
    try:
        with served(*database, env=env) as server:
            id = new_session(server)
            assert answered(server, id, LOGIN) == WELCOME
            answer = server.streamed("I want to order ACC-0133", session_id=id)
            assert shop.held.wait(PATIENCE)
            server.stop()
            shop.let()
            told = answer.rest()
            assert told[0]["chunk"] == PLACED
            assert told[-1]["outcome"] == "complete"
            assert server.ended() in ENDED
    finally:
        shop.close()
    with sqlite3.connect(tmp_path / "chat.db") as stored:
        everything = "\n".join(stored.iterdump())
    stored.close()
    assert order_number("".join(one.get("chunk", "") for one in told)) in everything
    assert "order_settled" in everything
    assert "My email is alice@example.com and PIN ****" in everything
    assert "PIN is" not in everything
    assert "alice" not in "".join(server.log)


def test_model_and_shop_may_die_and_come_back() -> None:
    with demo() as outside:
        env = alone(outside.urls, OPENAI_API_KEY="any")
        with served(*MEMORY, env=env) as server:
            id = logged_in(server)
            assert "MON-0054" in answered(server, id, "Show me monitors")
            outside.stop()
            cut = server.said("Show me monitors", session_id=id)
            assert cut["outcome"] == "cut"
            assert "MON-0054" not in cut["response"]
            outside.start()
            assert "MON-0054" in answered(server, id, "Show me monitors")
            assert PLACED in answered(server, id, "I want to order MON-0054")
            assert server.ask("GET", f"/api/session/{id}").json["is_authenticated"]
