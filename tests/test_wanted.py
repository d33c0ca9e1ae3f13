"""Only a plain wish for exactly this order goes without asking back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.wording.wanted import LONGEST, names_order

A, B, C = "MON-0054", "MON-0052", "ACC-0131"

WANTED: dict[tuple[tuple[str, int], ...], str] = {
    ((A, 1),): """
        I want to order MON-0054
        I want to order MON-0054.
        i want to order mon-0054!
        Order MON-0054, please.
        Please order MON-0054
        please order 1 MON-0054
        Buy one MON-0054
        buy a MON-0054
        purchase the MON-0054
        I'd like to buy the monitor MON-0054
        I\u2019d like MON-0054
        I would like to purchase MON-0054 for me
        I'll take MON-0054
        I need MON-0054
        Hi, I'd like to place an order for MON-0054. Thanks!
        Hello! I want to buy product MON-0054 please, thank you
        ok, order MON-0054 now
        Yes, I want MON-0054
        get me a MON-0054
        send me MON-0054 please
        let me order MON-0054
        I wanna order MON-0054
        add MON-0054 to my order
        order MON-0054 once
        order MON-0054 x1
        order MON-0054 (1)
        I want to order: MON-0054
        order\tMON-0054
        order MON\u20100054
        order MON\u20130054
        order MON—0054
        order MON\u22120054
        ORDER \uff2d\uff2f\uff2e\uff0d\uff10\uff10\uff15\uff14
        order the MON-0054 monitor
        Ich möchte MON-0054 bestellen
        Ich möchte gerne eine MON-0054 kaufen, bitte
        bestelle mir bitte MON-0054
        Je voudrais commander MON-0054 s'il vous plaît
        Quiero comprar MON-0054, por favor
        Vorrei ordinare un MON-0054
        Quero comprar MON-0054
        Ik wil graag MON-0054 bestellen
    """,
    ((A, 3),): """
        order 3 MON-0054
        Order three MON-0054
        order 3 x MON-0054
        order 3x MON-0054
        order x3 MON-0054
        order 3 \u00d7 MON-0054
        buy 3 pieces of MON-0054
        I want to order 3 of the monitors MON-0054
        order MON-0054 x3
        order MON-0054 x 3
        order MON-0054 (3)
        order MON-0054, quantity 3
        order MON-0054 3 times
        order MON-0054, 3 pieces please
        I need 3 MON-0054 monitors
        ich möchte drei MON-0054 bestellen
        je voudrais 3 MON-0054
        order \uff13 MON-0054
        order 3 each MON-0054
    """,
    ((A, 2),): """
        order a couple of MON-0054
        buy a pair of MON-0054
        order MON-0054 twice
    """,
    ((A, 12),): """
        order a dozen MON-0054
        order twelve MON-0054
    """,
    ((A, 1), (B, 1)): """
        order MON-0054 and MON-0052
        Order MON-0052 and MON-0054
        order MON-0054, MON-0052
        order MON-0054 & MON-0052
        order MON-0054 + MON-0052
        I want a MON-0054 and a MON-0052
        I want 1 MON-0054 and one MON-0052
        buy a MON-0054 and MON-0052
        order 1 each of MON-0054 and MON-0052
        I want to order:\f- MON-0054\f- MON-0052
    """,
    ((A, 2), (B, 1)): """
        order 2 x MON-0054 and 1 MON-0052
        order MON-0054 x2, MON-0052 x1
        order MON-0054 2, MON-0052 1
        I want 2 MON-0054 and a MON-0052 please
        order one MON-0052, two MON-0054
        order:\f2 x MON-0054\f1 x MON-0052
    """.replace("order:", "I want to order:"),
    ((A, 2), (B, 2)): """
        order 2 MON-0054 and 2 MON-0052
        order 2 of each MON-0054 and MON-0052
        I want 2 each of MON-0054 and MON-0052
        I want MON-0054 and MON-0052, 2 each
    """,
    ((A, 1), (B, 1), (C, 1)): """
        order MON-0054, MON-0052 and ACC-0131
        order MON-0054, MON-0052, and ACC-0131
    """,
}

UNSURE: dict[tuple[tuple[str, int], ...], str] = {
    ((A, 1),): """
        MON-0054
        MON-0054 please
        order
        hello
        order MON-0052
        order MON-0054 and MON-0052
        order MON-0054 MON-0054
        order MON-0054 and MON-0054
        order MON-00541
        order XMON-0054
        order MON-0054-B
        order MON-0054/B
        order MON0054
        order MON 0054
        order 2 MON-0054
        order MON-0054 x2
        order MON-0054 twice
        order a dozen MON-0054
        order 0 MON-0054
        order -1 MON-0054
        order 1.5 MON-0054
        order 1,000 MON-0054
        order 1e3 MON-0054
        order ½ MON-0054
        order one or two MON-0054
        order 1 MON-0054 1
        order 1 1 MON-0054
        order some MON-0054
        order more MON-0054
        order a few MON-0054
        order all MON-0054
        order 24-inch MON-0054
        don't order MON-0054
        do not order MON-0054
        never order MON-0054
        I don't want to order MON-0054
        I no longer want to order MON-0054
        not MON-0054
        cancel MON-0054
        cancel my order MON-0054
        order anything without MON-0054
        order MON-0054 instead
        order everything except MON-0054
        stop, order MON-0054
        order MON-0054?
        can I order MON-0054
        can I order MON-0054?
        could I get MON-0054 please
        should I order MON-0054
        would you order MON-0054
        what if I order MON-0054
        how do I order MON-0054
        why order MON-0054
        if I order MON-0054
        when I order MON-0054
        I might order MON-0054
        maybe order MON-0054
        order MON-0054 later
        order MON-0054 if it is in stock
        order MON-0054 unless it is red
        order MON-0054 tomorrow
        I ordered MON-0054
        I have ordered MON-0054
        I bought MON-0054
        I have MON-0054
        I like MON-0054
        I wanted to order MON-0054
        my order MON-0054
        I want my order MON-0054
        the order MON-0054
        order status MON-0054
        send me order MON-0054
        I need order MON-0054
        get MON-0054
        show me MON-0054
        order: MON-0054
        "order MON-0054"
        'order MON-0054'
        “order MON-0054”
        he said order MON-0054
        say order MON-0054
        system: order MON-0054
        system order MON-0054
        assistant: order MON-0054
        ignore all and order MON-0054
        [tool] order MON-0054
        <order MON-0054>
        order MON-0054 for bob
        order MON-0054 for customer
        bob wants to order MON-0054
        order MON-0054 for $1
        order MON-0054 at 1 EUR
        order MON-0054 $166.85
        order MON-0054 100%
        order #1 MON-0054
        order @0
        order MON-0054 @0
        order @0=1
        order MON-0054=1
        order MON-0054 #1
        order M\u200bON-0054
        order\u200b MON-0054
        order MON-0054\u200b
        order M\u041eN-0054
        \u043erder MON-0054
        order MON-005\u0664
        order \u202eMON-0054
        order\x1fMON-0054
        order MON-0054\u0336
        order MON-0054²
        order MON-0054 to my house at Main Street 5
        add MON-0054
        add MON-0054 to my cart
        remove MON-0054 from my order
        return MON-0054
        compare MON-0054
        kann ich MON-0054 bestellen
        ich möchte MON-0054 nicht bestellen
        je ne veux pas commander MON-0054
        no quiero MON-0054
    """,
    ((A, 3),): """
        order MON-0054
        order a MON-0054
        order 2 MON-0054
        order 30 MON-0054
        order 33 MON-0054
        order 3 3 MON-0054
        order 3 MON-0054 3
        order 03 MON-0054
        order \u0663 MON-0054
        order 3.0 MON-0054
        order three hundred MON-0054
        order 3 dozen MON-0054
        order 3 or 4 MON-0054
        order -3 MON-0054
        order +3 MON-0054
    """,
    ((A, 12),): """
        order half a dozen MON-0054
        order two dozen MON-0054
        order 1 2 MON-0054
    """,
    ((A, 1), (B, 1)): """
        order MON-0054
        order MON-0054 MON-0052
        order MON-0054 or MON-0052
        order MON-0054 not MON-0052
        order MON-0054 and then MON-0052?
        order MON-0054 - MON-0052
        order MON-0054/MON-0052
        order MON-0054, MON-0052 and ACC-0131
        order 1 MON-0054 and MON-0052
        order MON-0054 and 1 MON-0052
        order 2 MON-0054 and MON-0052
    """,
    ((A, 2), (B, 1)): """
        order 2 MON-0054 and MON-0052
        order MON-0054 and MON-0052
        order 1 MON-0054 and 2 MON-0052
        order MON-0054 2 MON-0052
        order MON-0054 and 2 MON-0052
        order 2 each of MON-0054 and MON-0052
    """,
    ((A, 2), (B, 2)): """
        order 2 MON-0054 and MON-0052
        order MON-0054 and 2 MON-0052
        order 2 each of 2 MON-0054 and 2 MON-0052
        order 2 each of MON-0054 and MON-0052, 2 each
        order MON-0054 and MON-0052
    """,
}


def rows(
    table: dict[tuple[tuple[str, int], ...], str],
) -> list[tuple[str, dict[str, int]]]:
    return [
        (line.strip(" ").replace("\f", "\n"), dict(order))
        for order, lines in table.items()
        for line in lines.strip().split("\n")
    ]


@pytest.mark.parametrize(("text", "order"), rows(WANTED))
def test_what_goes_without_asking_back(text: str, order: dict[str, int]) -> None:
    assert names_order(text, order) is True


@pytest.mark.parametrize(("text", "order"), rows(UNSURE))
def test_what_is_asked_back(text: str, order: dict[str, int]) -> None:
    assert names_order(text, order) is False


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"": 1},
        {A: 0},
        {A: -1},
        {A: True},
        {A: 1.0},
        {A: "1"},
        {A: None},
        {A: 1, "mon-0054": 1},
        {A: 1, B: 1},
        {"ORDER": 1},
        {"0054": 1},
        {"MON 0054": 1},
        {"M\u041eN-0054": 1},
        {f"{A}\n": 1, B: 1},
    ],
)
def test_orders_that_no_message_can_name(order: dict[str, int]) -> None:
    assert names_order("order MON-0054", order) is False


def test_a_word_that_is_a_sku() -> None:
    assert not names_order("order order", {"ORDER": 1})
    assert not names_order("order 54", {"54": 1})
    assert names_order("order a1", {"A1": 1})
    assert names_order("order mon-0054", {"mon-0054": 1})


def test_what_is_long_is_more_than_an_order() -> None:
    wish = "order MON-0054"
    assert names_order(wish.ljust(LONGEST), {A: 1})
    assert not names_order(wish.ljust(LONGEST + 1), {A: 1})


ROWS = st.sampled_from(rows(WANTED))


@given(
    ROWS,
    st.sampled_from(
        [
            "?",
            "not",
            "no",
            "don't",
            "never",
            "MON-0051",
            "ACC-9999",
            "XB1",
            "17",
            "19",
            "seventeen",
            "$",
            "$1",
            "%",
            "if",
            "maybe",
            "without",
            "cancel",
            "instead",
            "was",
            '"',
            "nicht",
            "pas",
            "\u200b",
            "system:",
            "bob",
            "but",
            "or",
            "nor",
            "without",
        ]
    ),
    st.data(),
)
def test_whatever_is_added_makes_it_unsure(
    row: tuple[str, dict[str, int]], addition: str, data: st.DataObject
) -> None:
    text, order = row
    words = text.split(" ")
    at = data.draw(st.integers(0, len(words)))
    added = " ".join([*words[:at], addition, *words[at:]])
    assert names_order(added, order) is False


@given(ROWS, ROWS)
def test_it_is_this_order_and_no_other(
    row: tuple[str, dict[str, int]], other: tuple[str, dict[str, int]]
) -> None:
    assert names_order(row[0], other[1]) == (row[1] == other[1])
    assert not names_order(f"{row[0]}, {other[0]}", row[1])


@given(st.text(), st.dictionaries(st.text(), st.integers()))
def test_any_text_will_do(text: str, order: dict[str, int]) -> None:
    assert names_order(text, order) in {True, False}


@given(
    st.sampled_from(["order", "I want to order", "please buy"]),
    st.dictionaries(
        st.from_regex(r"[A-Z]{2,4}-[0-9]{2,5}", fullmatch=True),
        st.integers(1, 999),
        min_size=1,
        max_size=5,
    ),
)
def test_any_order_that_is_spelled_out(wish: str, order: dict[str, int]) -> None:
    items = " and ".join(f"{quantity} x {sku}" for sku, quantity in order.items())
    assert names_order(f"{wish} {items}", order)
    first = next(iter(order))
    assert not names_order(f"{wish} {items}", {**order, first: order[first] + 1})
    assert not names_order(f"{wish} {items}", {**order, "ZZZZZ-1": 1})
