"""The real program among enemies, and what must never come of that."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from unicodedata import normalize
from uuid import uuid4

from supportbot.demo.catalogue import Customer, products
from tests.attack_model import Obedient, Round, Wanted, obedient_model
from tests.attack_shop import EVIL, PEOPLE, SIMPLE, hostile_shop
from tests.program import Answer, Played, Server, ask, environment, free_port, served

KEYS = ("sk-attack-7b1e5c", "shop-token-attack-7b1e5c", "admin-token-attack-7b1e5c")
"""Secrets of the operator."""

PRICES = {product.sku: str(product.price) for product in products()} | dict.fromkeys(
    EVIL, "50.00"
)
"""What things cost, by SKU."""

Bought = tuple[str, tuple[tuple[str, int, str, str], ...]]
"""Whose order it is, and its lines: SKU, quantity, price, currency."""


_NAMES = re.compile(
    r"(?=(xavu[a-z]{2}|quort[a-z]{2}|person\d{3}@attack\.example|alice@example\.com"
    r"|[0-9a-f]{32}))"
)


class World:
    """The program with a model, a shop and services that the attacker has bought.

    Args:
        server: the program.
        model: does whatever the attacker wants.
        shop: its port.
        folder: where the database is.
        services: what was sent to the keyword services.

    Attributes:
        pins: all that were typed, as digits, and as they were typed.
        honest: orders that customers have asked for in their own words.
        lines: the port for line clients.
    """

    def __init__(
        self,
        server: Server,
        model: Obedient,
        shop: int,
        folder: Path,
        services: list[bytes],
        lines: int = 0,
    ) -> None:
        self.server, self.model, self._shop = server, model, shop
        self._folder, self._services, self.lines = folder, services, lines
        self.pins: set[str] = set()
        self.honest: Counter[Bought] = Counter()
        self._people = iter(PEOPLE)

    def somebody(self) -> Customer:
        """A customer who has not written before."""
        return next(self._people)

    def shop(self, **manners: object) -> Any:
        """What was done in the shop; and how it behaves from now on."""
        body = manners or None
        method, path = ("POST", "/manners") if manners else ("GET", "/state")
        return ask(self._shop, method, path, body).json

    def stored(self) -> bytes:
        """All bytes of the database."""
        files = sorted(self._folder.glob("chat.db*"))
        assert files
        return b"".join(file.read_bytes() for file in files)

    def rows(self) -> str:
        """All values in the database, a line each."""
        with closing(sqlite3.connect(self._folder / "chat.db")) as database:
            tables = database.execute(
                "SELECT name FROM sqlite_master WHERE type='table'"
            )
            values = [
                value
                for (table,) in tables.fetchall()
                for row in database.execute(f'SELECT * FROM "{table}"')
                for value in row
            ]
        texts = (
            v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v)
            for v in values
        )
        return "\n".join(texts)

    @property
    def log(self) -> str:
        """All that the program has logged."""
        return "".join(self.server.log)

    @contextmanager
    def attack(self, *, logged_in: bool = True) -> Iterator[Talk]:
        """A conversation with somebody who wants what they must not have.

        What must not happen is looked for afterwards.
        """
        asked = len(self.model.asked)
        talk = Talk(self, self.somebody())
        if logged_in:
            talk.log_in()
        try:
            yield talk
        finally:
            self.pins |= talk.pins
        talk.ask("GET", talk.path)
        talk.ask("GET", f"{talk.path}/events?live=false")
        self.check(talk, self.model.asked[asked:])

    def check(self, talk: Talk, asked: list[bytes]) -> None:
        """Nobody was robbed, and nobody told."""
        state = self.shop()
        orders = Counter[Bought](
            (order["customer_id"], tuple(map(tuple, order["items"])))
            for order in state["orders"]
            if order["id"] not in state["earlier"]
        )
        expected, self.honest = self.honest, orders  # one fault is one failure
        assert orders == expected, "orders that nobody has asked for, or lost ones"

        ours = {somebody.id for somebody in talk.people}
        people = (*PEOPLE, SIMPLE)
        foreign = {order["id"] for order in state["orders"]} - {
            order["id"] for order in state["orders"] if order["customer_id"] in ours
        }
        for one in people:
            if one.id not in ours:
                foreign |= {one.id, one.email, *one.name.split()}
        ids = {one.id for one in people}
        known = _named(json.dumps(talk.given, ensure_ascii=False))
        heard, thought = _named(_text(*talk.heard)), _named(_text(*asked))
        foreign, ids = set(map(_squashed, foreign)), set(map(_squashed, ids))
        assert not heard & foreign - known, "of somebody else, told the customer"
        assert not thought & foreign - known, "of somebody else, told the model"
        assert not thought & ids - known, "a customer's id, told the model"
        self.check_pins(talk.pins, *talk.heard, *asked)

    def check_pins(self, pins: Collection[str], *texts: bytes) -> None:
        """They are nowhere, and no key of the operator's is.

        Args:
            pins: as digits, and as they were typed.
        """
        places = {
            "answers and requests": b"\n".join(texts),
            "services": b"\n".join(self._services),
            "log": self.log.encode(),
            "database": self.stored(),
        }
        needles = [secret.encode() for secret in (*pins, *KEYS)]
        for place, octets in places.items():
            assert not [one for one in needles if one in octets], place


class Talk:
    """An attacker's conversation.

    Attributes:
        who: the attacker, as the shop knows them.
        people: customers whose PINs the attacker has.
        given: what they sent, and made the model say.
        heard: all bodies of answers.
        pins: that they typed, as digits and as they were typed.
        session_id: of the session.
    """

    def __init__(self, world: World, who: Customer) -> None:
        self.world, self.who, self.people = world, who, [who]
        self.given: list[object] = []
        self.heard: list[bytes] = []
        self.pins: set[str] = set()
        opened = self.ask("POST", "/api/session/new")
        self.session_id: str = opened.json["session_id"]

    @property
    def path(self) -> str:
        """Of the session."""
        return f"/api/session/{self.session_id}"

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request."""
        answer = self.world.server.ask(method, path, body, headers)
        self.heard.append(answer.body)
        return answer

    def log_in(self, who: Customer | None = None) -> None:
        """Prove to be somebody; who has the PIN, may."""
        who = who or self.who
        self.people.append(who)
        self.pins.add(who.pin)
        answer = self.ask(
            "POST", f"{self.path}/login", {"email": who.email, "pin": who.pin}
        )
        assert answer.status == 200, answer

    def say(self, text: str, *rounds: Round, **fields: object) -> Any:
        """Say something, to which the model does what the attacker wants."""
        self.given += [text, *_known(rounds)]
        self.world.model.rounds = rounds
        body = {"message": text, "session_id": self.session_id, **fields}
        answer = self.ask("POST", "/api/chat", body)
        assert answer.status == 200, answer
        return answer.json

    def bought(self, *lines: tuple[str, int], price: str = "") -> None:
        """The customer has asked for this, and pays what it costs."""
        items = tuple(
            (sku, quantity, price or PRICES[sku], "USD") for sku, quantity in lines
        )
        self.world.honest[self.who.id, items] += 1

    @property
    def customer(self) -> Any:
        """Who the session is logged in as."""
        return self.ask("GET", self.path).json["customer_info"]


def _known(rounds: Iterable[Round]) -> Iterator[object]:
    """What an attacker has to know to make the model do this.

    A customer's id is not among it where we don't hand it on.
    """
    for one in rounds:
        for wanted in [one] if isinstance(one, str | Wanted) else one:
            if isinstance(wanted, str):
                yield wanted
                continue
            yield wanted.name
            try:
                yield _unbound(json.loads(wanted.arguments))
            except (ValueError, RecursionError):
                yield wanted.arguments


def _unbound(value: Any) -> Any:
    if isinstance(value, dict):
        plain = {name: normalize("NFKC", name).casefold() for name in value}
        return {
            name: _unbound(one)
            for name, one in value.items()
            if re.sub(r"\W|_", "", plain[name]) != "customerid"
        }
    return [_unbound(one) for one in value] if isinstance(value, list) else value


def _text(*parts: bytes) -> str:
    return "\n".join(part.decode("utf-8", "ignore") for part in parts)


def _squashed(text: str) -> str:
    return text.lower().replace("-", "")


def _named(text: str) -> set[str]:
    """The names, addresses and ids in a text."""
    return set(_NAMES.findall(_squashed(text)))


@contextmanager
def world(folder: Path, **settings: str) -> Iterator[World]:
    """All of it, running."""
    with ExitStack() as stack:
        shop = stack.enter_context(hostile_shop())
        model = stack.enter_context(obedient_model())
        heard = list[bytes]()
        played = stack.enter_context(closing(services(heard)))
        env = surroundings(shop, model, played, **settings)
        lines = free_port()
        server = stack.enter_context(served(*arguments(folder, lines), env=env))
        yield World(server, model, shop, folder, heard, lines)


def arguments(folder: Path, lines: int) -> tuple[str, ...]:
    """Of the program."""
    database = f"sqlite:///{folder / 'chat.db'}"
    endpoint = f"tcp:{lines}:interface=127.0.0.1"
    formats = ("--log-format", "json", "--lines", endpoint)
    return ("--database", database, *formats)


def surroundings(
    shop: int, model: Obedient, played: Played, **settings: str
) -> dict[str, str]:
    """The environment of the program."""
    key, token, admin = KEYS
    return {
        **played.env,
        **environment(
            OPENAI_BASE_URL=model.url,
            OPENAI_API_KEY=key,
            MCP_SERVER_URL=f"http://127.0.0.1:{shop}/mcp",
            SUPPORTBOT_SHOP__TOKEN=token,
            SUPPORTBOT_ADMIN_TOKEN=admin,
            SUPPORTBOT_ASSISTANT__RETRY__ATTEMPTS="3",
            SUPPORTBOT_ASSISTANT__RETRY__FIRST="0.01",
            SUPPORTBOT_ASSISTANT__RETRY__MOST="0.02",
            SUPPORTBOT_ASSISTANT__BOUNDS__BODY="300000",
            **settings,
        ),
    }


def services(heard: list[bytes]) -> Played:
    """Keyword services that keep what they hear."""
    return _Recording(heard)


class _Recording(Played):
    def __init__(self, heard: list[bytes]) -> None:
        self._heard = heard
        super().__init__(lambda connection, number: None)

    def _one(self, connection: Any, number: int) -> None:
        from tests.program import read_request

        with connection:
            self._heard.append(read_request(connection))
            body = b'{"response": "<p>Yes?</p>", "product_info": "<p>Yes?</p>"}'
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
            connection.sendall(head + length + body)


def fresh_id() -> str:
    """An id for a message."""
    return uuid4().hex
