"""No PIN gets through, in whatever words and digits, and little else is lost."""

from __future__ import annotations

import re
import sys
import unicodedata
from itertools import islice

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supportbot.wording.credentials import Masked, address, masked, only_credentials
from supportbot.wording.digits import Run, runs
from supportbot.wording.folding import fold, folded, seen
from supportbot.wording.login_words import (
    DIGIT_WORDS,
    LARGE_WORDS,
    TIMES,
    addresses,
    tokens,
)

ALICE = "alice@example.com"

BOTH = """
My email is {email} and PIN is {pin}
my email is {email} and my pin is {pin}
{email} {pin}
{email}, {pin}
{email},{pin}
{email}/{pin}
{email}:{pin}
{email};{pin}
{email} | {pin}
{email} - {pin}
{email}-{pin}
{pin} {email}
{pin}/{email}
<{email}> {pin}
({email}; {pin})
email={email} pin={pin}
e-mail: {email}, p.i.n.: {pin}
Log me in: {email} / {pin}
Hi! I'm {email}, my passcode is {pin}. What did I order?
login {email} password {pin}
{email} is my address and {pin} is my pin
It's {email}, code {pin}
The code is {pin}, my mail {email}
I am {email} and my number is {pin}
User: {email}. Secret: {pin}.
PIN {pin}, e-mail {email}
please verify me, {email} with {pin}
My pin and email: {pin}, {email}
The PIN for {email} is {pin}
{email} {pin} show me my orders
{email} {pin} monitors please
Meine E-Mail ist {email} und meine PIN lautet {pin}
Ich bin {email}, Kennwort {pin}
{email}, Geheimzahl: {pin}
Mon adresse est {email} et mon mot de passe est {pin}
Je suis {email}, code : {pin}
Mi correo es {email} y mi contraseña es {pin}
Soy {email}, mi clave es {pin}
La mia email è {email} e il codice segreto è {pin}
Meu email é {email} e minha senha é {pin}
Mijn e-mail is {email} en mijn wachtwoord is {pin}
Моя почта {email}, пин-код {pin}
私は{email}です。暗証番号は{pin}です。
我的邮箱是 {email} 密码是{pin}
"""
ALONE = """
pin {pin}
PIN: {pin}
PIN={pin}
PIN-{pin}
pin{pin}
PIN#{pin}
my pin is {pin}
My PIN number is {pin}.
My PIN code: {pin}
my PIN is: "{pin}"
it's my pin: ({pin})
Where is my PIN? Oh wait, it's {pin}!
the pin you asked for is {pin}
my pin, I think, is {pin}
{pin} is my pin
{pin} (pin)
{pin} = PIN
{pin}, that's my PIN
{pin} pin
{pin}pin
P.I.N. {pin}
p i n {pin}
p-i-n: {pin}
P1N {pin}
PІN {pin}
ΡΙΝ {pin}
ΡIИ {pin}
ＰＩＮ {pin}
P\u200bI\u200bN {pin}
p\u0131n {pin}
PÍN {pin}
pass code {pin}
passcode {pin}
password is {pin}
pwd {pin}
my security code is {pin}
Access code {pin}
Passwort: {pin}
Kennwort {pin}
Geheimzahl {pin}
Die Geheimnummer lautet {pin}
mot de passe : {pin}
mdp {pin}
contraseña {pin}
código secreto {pin}
número secreto: {pin}
senha: {pin}
пин {pin}
мой пароль {pin}
密码{pin}
パスワードは{pin}です
비밀번호 {pin}
mypin {pin}
pin
 {pin}
pin is not that one, it's {pin}
"""  # noqa: RUF001
ASKED = """
{pin}
it's {pin}
It is {pin}.
the code is {pin}
code: {pin}
sure, {pin}
here you go: {pin}
okay, {pin} thanks
{pin} please
es ist die {pin}
c'est le {pin}
es {pin}
try {pin}
I believe it was {pin}
oh sorry, {pin}!
the secret one that you sent me some years ago was this: my code is {pin}
"""

PINS = st.integers(4, 8).flatmap(
    lambda size: st.text("0123456789", min_size=size, max_size=size)
)
EMAILS = st.from_regex(
    r"[a-z][a-z0-9]{0,8}([._+-][a-z0-9]{1,8})?@[a-z0-9]{1,8}(-[a-z0-9]{1,4})?(\.[a-z]{2,6}){1,2}",
    fullmatch=True,
)


def wordings(table: str) -> list[str]:
    """The lines of a table; one that is indented goes on with the line before."""
    return table.strip().replace("\n ", "\f").split("\n")


def filled(wording: str, pin: str, email: str = ALICE) -> str:
    return wording.replace("\f", "\n").replace("{pin}", pin).replace("{email}", email)


def words_of(pin: str) -> str:
    return " ".join(unicodedata.name(digit).split()[1].lower() for digit in pin)


SPELLINGS = {
    "spaces": " ".join,
    "hyphens": "-".join,
    "dots": ".".join,
    "commas": ", ".join,
    "invisible": "\u200b".join,
    "joiners": "\u2060".join,
    "pairs": lambda pin: re.sub("(..)(?=.)", r"\1 ", pin),
    "fullwidth": lambda pin: "".join(chr(ord(d) - 48 + 0xFF10) for d in pin),
    "arabic": lambda pin: "".join(chr(ord(d) - 48 + 0x0660) for d in pin),
    "devanagari": lambda pin: "".join(chr(ord(d) - 48 + 0x0966) for d in pin),
    "bold": lambda pin: "".join(chr(ord(d) - 48 + 0x1D7CE) for d in pin),
    "keycaps": lambda pin: "".join(d + "\ufe0f\u20e3" for d in pin),
    "circled": lambda pin: "".join(
        unicodedata.lookup(f"CIRCLED DIGIT {words_of(d).upper()}") for d in pin
    ),
    "words": words_of,
    "hyphened words": lambda pin: words_of(pin).replace(" ", "-"),
    "mixed": lambda pin: f"{words_of(pin[0])} {' '.join(pin[1:])}",
}


def check(text: str, pin: str, *, expected: bool = False, email: str = "") -> Masked:
    """The PIN is found, nothing of it is left, and nothing changes the second time."""
    done = masked(text, expected=expected)
    assert done.pin == pin, text
    assert "PIN ****" in done.text
    left = done.text.replace(email, "") if email else done.text
    assert pin not in re.sub(r"\D", "", folded(left)[0]), done.text
    assert words_of(pin) not in folded(left)[0].replace("-", " ")
    assert masked(done.text, expected=expected) == Masked(done.text, None)
    return done


@pytest.mark.parametrize("wording", wordings(BOTH))
def test_an_address_and_a_pin_in_one_message(wording: str) -> None:
    for pin in ("1234", "0000", "20240101", "90210"):
        for expected in (False, True):
            text = filled(wording, pin)
            done = check(text, pin, expected=expected, email=ALICE)
            assert address(text) == address(done.text) == ALICE


@pytest.mark.parametrize("wording", wordings(ALONE))
def test_a_pin_with_a_label(wording: str) -> None:
    for pin in ("1234", "1987", "00000000"):
        check(filled(wording, pin), pin)


@pytest.mark.parametrize("wording", wordings(ASKED))
def test_a_pin_that_was_asked_for(wording: str) -> None:
    for pin in ("1234", "7531902"):
        check(filled(wording, pin), pin, expected=True)


@given(st.sampled_from(wordings(BOTH)), PINS, EMAILS)
def test_any_address_with_any_pin(wording: str, pin: str, email: str) -> None:
    text = filled(wording, pin, email)
    check(text, pin, email=email)
    assert address(text) == email


@given(st.sampled_from(wordings(ALONE)), PINS)
def test_any_pin_with_a_label(wording: str, pin: str) -> None:
    check(filled(wording, pin), pin)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    ("wording", "expected"),
    [
        ("my pin is {pin}", False),
        ("PIN: {pin}!", False),
        ("{email} {pin}", False),
        ("{email}, my password is {pin}, thanks", False),
        ("{pin}", False),
        ("it is {pin}", True),
    ],
)
def test_digits_in_another_spelling(
    wording: str, expected: bool, spelling: str
) -> None:
    for pin in ("1234", "9507"):
        text = filled(wording, SPELLINGS[spelling](pin))
        check(text, pin, expected=expected, email=ALICE)


@pytest.mark.parametrize(
    "again", ["1234", "1 2 3 4", "one two three four", "error 1234", "x1234", "1,234"]
)
def test_a_pin_that_is_said_twice(again: str) -> None:
    done = check(
        f"My pin is 1234 and I say it again in case you wonder: {again}!", "1234"
    )
    assert done.text.count("PIN ****") == 2


@pytest.mark.parametrize(
    "text",
    [
        "my pin is 1234 or maybe it is 4321",
        "pin 1234 password 4321",
        f"{ALICE} 1234 4321",
        "1234 is my pin. no, 4321 is my pin",
        "my pin is 0000, no wait, 1234",
    ],
)
def test_nobody_guesses_between_two(text: str) -> None:
    done = masked(text, expected=False)
    assert done.pin is None
    assert not re.search(r"\d", done.text)
    assert masked(done.text, expected=False).text == done.text


@pytest.mark.parametrize(
    "text",
    [
        "my pin is 123",
        "pin: 123456789",
        "PIN 1234567890123456",
        "my pin is twelve thirty four",
        "my pin is one thousand two hundred thirty four",
        "pin 1234abc",
    ],
)
def test_what_was_meant_to_be_a_pin_is_masked_but_not_read(text: str) -> None:
    done = masked(text, expected=False)
    assert done.pin is None
    assert "PIN ****" in done.text
    assert not re.search(r"\d|twelve|thousand", done.text)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("My email is a@b.de and PIN is 1234", "My email is a@b.de and PIN ****"),
        ("1234 is my pin.", "PIN **** is my pin."),
        ("1234", "PIN ****"),
        ("  1234\n", "  PIN ****\n"),
        ("it's 1234!", "it's PIN ****!"),
        ("1234pin", "PIN **** pin"),
        ("Password: 1️⃣2️⃣3️⃣4️⃣ ok?", "PIN **** ok?"),
        ("PIN? It is 1234", "PIN? It is PIN ****"),
        ("pin for a@b.de: 1234", "pin for a@b.de: PIN ****"),
        ("pin 1234 then", "PIN **** then"),
        ("1234* is my pin", "PIN **** * is my pin"),
        ("密码是1234吗", "PIN **** 吗"),
        ("pin: 1234, quantity 5000", "PIN ****, quantity 5000"),
        ("pin 1234, MON-1234 for $1,234.50", "PIN ****, MON-1234 for $1,234.50"),
        ("pin 1234\u200b.", "PIN ****."),
        ("P.I.N. 1234", "PIN ****"),
        ("code PIN **** 1234", "code PIN **** PIN ****"),
        ("PIN 1234. 2024", "PIN ****. PIN ****"),
    ],
)
def test_what_is_stored(text: str, stored: str) -> None:
    assert masked(text, expected=True).text == stored


HONEST = """
I need help with error code 5012
Error 5012 on my printer
the error was 5012
status code 4040
My zip code is 10115
zip: 90210
postal code 1010
product code 4711
promo code 2024
The promo code is 202412
What about order 20231105?
Order number 20231105 has not arrived
order no. 20231105
my order is #20231105
invoice 4711 and ticket 4712
I want to order MON-0054
Do you have MON-0054 and ACC-0131?
order 12 MON-0054
I would like 5000 sheets of paper
We need 1000 MON-0054
It costs $1234
the price is $1,234.50
I paid 1234 EUR
1234 € is too much
up 1234%
My phone is +49 170 1234567
call +1 (555) 123-4567
Order 3f2b1234-5678-1234-9abc-123456789012, please
It was on 2024-11-02 at 14:30
in 2024 I bought a monitor
I bought it on 02.11.2024
The model X1234 is broken
a 24-pin connector, 1200 of them
8 pin cable
the 1080p monitor
Windows 2000
room 1234
I forgot my PIN
How do I reset my PIN?
My PIN must have 4 to 8 digits
my pin is wrong 3 times
I changed my PIN in 2023
I forgot my PIN, error 5012 appears
the shopping cart has 12 items
pins and needles 1200
spinning 7200 rpm
my opinion 1234 times
I have 2 questions
12
123
123456789
1.2.3
192.168.0.1
version 10.0.1
I need one or two monitors
one two three
the secret of 1984 is a book
the source code has 5000 lines
code 1234 is displayed on the screen
MON-0054
+4917012345
20%
ISO 9001
"""


@pytest.mark.parametrize("text", HONEST.strip().split("\n"))
def test_an_honest_message_stays_as_it_is(text: str) -> None:
    assert masked(text, expected=False) == Masked(text, None)


@pytest.mark.parametrize(
    "text",
    [
        "My email is bob@example.com, my phone +49 170 1234567",
        "I'm bob@example.com and got error code 5012",
        "bob@example.com wants 5000 sheets",
        "bob@example.com: 12 x MON-0054",
        "send invoice 20231105 to bob@example.com",
        "bob@example.com, order 3f2b1234-5678-1234-9abc-123456789012",
        "bob@example.com paid $1,234.50 on 2024-11-02 at 10:30",
        "my email is alice1234@example.com",
        "1234@example.com",
        "1234.5678@9999.example.com",
        "bob@example.com was here in 2024",
    ],
)
def test_an_honest_message_with_an_address_too(text: str) -> None:
    assert masked(text, expected=False) == Masked(text, None)
    assert masked(text, expected=True) == Masked(text, None)


@pytest.mark.parametrize(
    "text",
    [
        "error code 5012",
        "I want 5000 MON-0054",
        "2000 sheets please",
        "It costs $1234",
        "MON-0054",
        "12",
        "123",
        "what is 2024-11-02",
        "several quite different words make this message rather long 1234 yes",
    ],
)
def test_what_is_no_pin_even_when_one_is_expected(text: str) -> None:
    assert masked(text, expected=True) == Masked(text, None)


def test_a_dialog_with_the_address_first() -> None:
    first = masked("Hi, my email is alice@example.com", expected=False)
    assert (first.pin, address(first.text)) == (None, ALICE)
    second = masked("it's 1234", expected=True)
    assert second == Masked("it's PIN ****", "1234")
    assert only_credentials(first.text)
    assert only_credentials(second.text)


def test_a_dialog_with_the_pin_first() -> None:
    first = masked("my pin is 1234", expected=False)
    assert first == Masked("my PIN ****", "1234")
    second = masked("alice@example.com", expected=True)
    assert (second.pin, address(second.text)) == (None, ALICE)


def test_the_pin_shows_nowhere() -> None:
    shown = repr(masked("alice@example.com 1234", expected=False))
    assert "1234" not in shown
    assert "alice" not in shown
    assert "None" in repr(masked("hello", expected=False))


TROUBLE = st.text(
    st.sampled_from([*"0123456789 .,-:/@#$%*+()'\n\u200bpinPINcodexyzÀ\u0661四é"]),
    max_size=60,
)
WORDS = """
pin PIN code password is my 1234 5678 123 12 1 2 0 one two thousand double MON-0054
a@b.de @ - . , : ? **** * order error in 2024 sheets thanks 密码 4 Alice 24-pin +49 $
5012 p.i.n.
"""
PIECES = st.lists(
    st.sampled_from([*WORDS.split(), "\n", "\u200b", "PIN ****"]), max_size=14
)


@given(st.text() | TROUBLE | PIECES.map(" ".join) | PIECES.map("".join), st.booleans())
@example("pin password 1234 code 5678", True)
@example("5678 pin 1234", False)
def test_masking_what_was_masked_changes_nothing(text: str, expected: bool) -> None:
    done = masked(text, expected=expected)
    assert masked(done.text, expected=expected) == Masked(done.text, None)
    assert (done.text == text) == ("PIN ****" not in done.text.removeprefix(text))
    assert done.pin is None or re.fullmatch("[0-9]{4,8}", done.pin)
    address(text)
    only_credentials(done.text)


NUMERALS = st.lists(
    st.sampled_from(
        [
            *DIGIT_WORDS,
            *LARGE_WORDS,
            *TIMES,
            *("pin", "PIN", "p.i.n", "Code", "my", "is", "a@b.de", "@one", "phone"),
            *" -_.,:@*+\n7",
        ]
    ),
    max_size=14,
)


@given(
    PIECES.map(" ".join)
    | NUMERALS.map(" ".join)
    | NUMERALS.map("".join)
    | st.text(st.characters(max_codepoint=127)),
    st.booleans(),
)
@example("my pin is ONE TWO THREE FOUR", False)
@example("my pin is twelve thirty", False)
@example("my pin is tw\0o thr\0ee fo\0ur", False)
@example("my pin is \u00b9\u00b2\u00b3\u2074", False)
@example("one_two_three_four pin", True)
def test_a_glance_misses_no_number(text: str, expected: bool) -> None:
    unseen = "\u200b"  # makes it look twice
    done, careful = (masked(one + text, expected=expected) for one in ("", unseen))
    assert Masked(unseen + done.text, done.pin) == careful


@given(st.text(), st.booleans())
def test_a_text_without_numbers_stays_as_it_is(text: str, expected: bool) -> None:
    plain = re.sub(r"[0-9]", "", folded(text)[0])
    if not [*runs([*tokens(plain)])]:
        assert masked(plain, expected=expected) == Masked(plain, None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("alice@example.com", ALICE),
        ("my email is alice@example.com.", ALICE),
        ("(alice@example.com)", ALICE),
        ("<alice@example.com>,", ALICE),
        ("'alice@example.com'", ALICE),
        ("mailto:alice@example.com?", ALICE),
        ("Alice@Example.com", "Alice@Example.com"),
        ("o'brien+shop@mail.example.co.uk!", "o'brien+shop@mail.example.co.uk"),
        ("alice@example.com and again ALICE@example.com", ALICE),
        ("\uff41lice\uff20example.com", ALICE),
        ("ali\u200bce@example.com\u200b", ALICE),
        ("jörg@müller.de", "jörg@müller.de"),
        ("1234@example.com", "1234@example.com"),
        ("alice@example.com1234", ALICE),
        ("alice@example.com-1234", ALICE),
        ("alice@example.com.1234", ALICE),
        ("alice@shop24.de", "alice@shop24.de"),
        ("alice@example.com, bob@example.com", None),
        ("alice", None),
        ("alice@", None),
        ("@alice", None),
        ("@example.com", None),
        ("alice@localhost", None),
        ("alice@10.0.0.1", None),
        ("alice@example.c", None),
        ("alice@@example.com", None),
        ("a @ b.com", None),
        ("", None),
    ],
)
def test_addresses(text: str, found: str | None) -> None:
    assert address(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "My email is alice@example.com and PIN ****",
        "PIN ****",
        "it's PIN ****, thanks!",
        "alice@example.com",
        "Hi, log me in please: alice@example.com / PIN ****",
        "Hello there! I'm alice@example.com",
        "Can you log me in? alice@example.com PIN ****",
        "PIN **** is my pin",
        "Meine E-Mail ist alice@example.com und meine PIN ****",
        "Mon adresse est alice@example.com et mon PIN ****",
        "密码: PIN ****",
    ],
)
def test_nothing_but_credentials(text: str) -> None:
    assert only_credentials(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "log me in please",
        "alice@example.com, show my orders",
        "PIN ****. I want to order MON-0054",
        "alice@example.com 2",
        "PIN 1234",
        "my email is alice@example.com, what did I buy?",
        "alice@example.com 我要买",
    ],
)
def test_more_than_credentials(text: str) -> None:
    assert not only_credentials(text)


HOSTILE = """
1|1 |1-|12 |1234 |pin |pin 1234 |pin 123|p |@|a@|a@b.|a.@a.|one |one|double |code |is
 |a|-|+1 |1.|$1,|****|PIN ****|a@b.de 1234 |1 pin |密|密码|\u0301|1\u200b| a
"""


@pytest.mark.parametrize("piece", HOSTILE.strip("\n").split("|"))
def test_the_work_is_linear(piece: str) -> None:
    """Calls are counted; what patterns do for themselves would take minutes."""

    def work(size: int) -> int:
        text = piece * (size // len(piece))
        return calls(text) + calls(f"pin {text} 1234") + calls(f"{text}@{text}")

    assert work(8_192) < 5 * work(2_048)
    text = piece * (262_144 // len(piece))
    assert sum(len(token.text) for token in islice(tokens(text), 64)) > 0
    assert len([*islice(addresses(f"{text}@"), 64)]) <= 64


def calls(text: str) -> int:
    """How many functions are called for a text."""
    count = 0

    def called(*event: object) -> None:
        nonlocal count
        count += event[1] in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        masked(text, expected=True)
        address(text)
        only_credentials(text)
    finally:
        sys.setprofile(before)
    return count


@given(st.text())
def test_folding_remembers_where_all_came_from(text: str) -> None:
    plain, origin = folded(text)
    assert len(plain) == len(origin)
    assert [*origin] == sorted(origin)
    assert "".join(map(fold, text)) == plain
    assert all(digit.isascii() for digit in plain if digit.isdigit())
    assert not re.search(r"[\u200b\u0301]", plain)


def test_what_is_seen() -> None:
    assert seen("\uff41\u200bB") == "aB"


def test_numbers_as_they_are_written() -> None:
    parts = [*tokens("1 2 3, 12 34 1234 5678 2024-11-02 one-two x\n3 double four x")]
    found = [run.digits for run in runs(parts)]
    assert found == ["123", "1234", "1234", "5678", "20241102", "12", "3", "44"]
    assert [*runs([*tokens("three 4")])] == [Run(0, 2, "34", (1, 1), " ", True)]
