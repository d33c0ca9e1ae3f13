"""What the simulated model says without any tool: greetings, memory, what it can do."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

_PEOPLE = re.compile(r"writing “([^”]+)” brings one")

_SHOP = re.compile(
    r"\b(?:assistant|agent|representative|chatbot)s? (?:of|for|at) (?:the )?"
    r"([^.,;:\n]{1,60})",
    re.I,
)
_CUSTOMER = re.compile(
    r"\b(?:logged in as|verified as|customer (?:is|named|called)|customer:|"
    r"(?:customer|customer's|first) name is|speaking (?:with|to))\s+"
    r"((?:[A-Z][\w'-]*)(?: [A-Z][\w'-]*){0,3})"
)
_NAMED = re.compile(r"\b(?:my name is|my name's|call me|i am called)\s+([\w'-]+)", re.I)
_INTRODUCED = re.compile(
    r"\W*(?:(?:hi|hello|hey)\b\W*)?(?:my name is|my name's|call me|i am called)"
    r" [\w'-]+(?: [\w'-]+)?\W*",
    re.I,
)
_I_AM = re.compile(r"\bI(?:'m| am) ([A-Z][\w'-]+)\b")
_FACT = re.compile(
    r"\bmy ([a-z][a-z ]{1,40}?) (?:is|are) (?!the\b.*\?)([^.,;!?\n]{1,80})", re.I
)
_WHOSE = re.compile(
    r"\b(?:what(?:'s| is| are| was)|do you (?:know|remember)|tell me) my"
    r" ([a-z][a-z ]{1,40}?)\s*\??$",
    re.I,
)
_KEPT = re.compile(
    r"\bremember\b|\bfavou?rite\b|\bmy (?:budget|birthday|colou?r|city|company|team|"
    r"job|hobby|dog|cat|nickname)\b",
    re.I,
)
_BROKEN = re.compile(
    r"\b(?:broken?|defective|doesn'?t work|not working|won'?t (?:start|turn)|error)\b",
    re.I,
)
_FIRST = re.compile(
    r"\bfirst (?:message|question|thing)\b|\bdid i (?:say|ask|tell|write)\b.*\bfirst\b",
    re.I,
)
_BEFORE = re.compile(
    r"\bwhat did i (?:just )?(?:say|ask|tell|write)\b|\bmy (?:last|previous) "
    r"(?:message|question)\b|\bdo you remember what i\b",
    re.I,
)
_WHO_AM_I = re.compile(r"\bwho am i\b|\b(?:know|remember) (?:who i am|me)\b", re.I)
_SECRET = re.compile(r"\b(?:pins?|passwords?|passcodes?|credentials)\b", re.I)
_WANTS = re.compile(
    r"\b(?:what|whats|tell|give|show|list|reveal|send|find|guess|know|read|repeat|"
    r"forgot|forgotten|change|reset)\b",
    re.I,
)
_MASKED = re.compile(r"\*{4}")
_EMAIL = re.compile(r"(?<![^\s@])[^\s@]+@[^\s@]+\.[^\s@]+")
_GIVEN = re.compile(r"\bpin\b(?: is| =| :|:|=)? ?\*{4}", re.I)
_CREDENTIALS = re.compile(
    r"\b(?:my|email|e-mail|mail|address|is|and|the|pin|it'?s|log|me|in|please|hi|hello|"
    r"login|password|here|are|with|i|am|sign)\b",
    re.I,
)
_HELLO = re.compile(
    r"^\W*(?:hi|hello|hey|hiya|greetings|howdy|good (?:morning|afternoon|evening|day))"
    r"\b",
    re.I,
)
_HOW_ARE_YOU = re.compile(
    r"\bhow (?:are|r) (?:you|u)\b|\bhow(?:'s| is) it going\b", re.I
)
_THANKS = re.compile(r"\b(?:thanks?|thank you|thx|cheers)\b", re.I)
_BYE = re.compile(r"\b(?:bye|goodbye|good night|see you|farewell)\b", re.I)
_PERSON = re.compile(
    r"\b(?:speak|talk|chat|switch|connect\w*|transfer\w*|want|need|get)\b.*"
    r"\b(?:person|human|agent|someone|somebody|employee)\b",
    re.I,
)
_WHO_ARE_YOU = re.compile(
    r"\b(?:who|what) are you\b|\bare you (?:an? )?(?:bot|robot|human|ai|person)\b",
    re.I,
)
_ABLE = re.compile(
    r"\bwhat (?:can|do) you do\b|\bhow (?:do|can|does)\b.*\b(?:order|buy|work|log ?in)"
    r"|\b(?:help|commands|log ?in|sign in)\b",
    re.I,
)
_QUOTED = 300  # characters of what was said


class Talk(msgspec.Struct, frozen=True):
    """What is known for it.

    Attributes:
        system: what the model was told about itself and the customer.
        heard: everything that the customer has said, the newest last.
        can_browse: it can look up products.
        categories: of them, in words; empty if it has not been told.
        can_order: it can place orders, since the customer has logged in.
    """

    system: str
    heard: Sequence[str]
    can_browse: bool
    categories: str
    can_order: bool

    @property
    def person(self) -> str:
        """How to get one, in a sentence behind others; empty where there is none."""
        found = _PEOPLE.search(self.system)
        return f" To talk to a person, write “{found[1]}”." if found else ""

    @property
    def shop(self) -> str:
        """Whom it works for."""
        found = _SHOP.search(self.system)
        return found[1].strip() if found else "this shop"

    @property
    def name(self) -> str | None:
        """The customer's, newest first; None if nobody has told it."""
        for text in reversed(self.heard):
            if found := _NAMED.search(text) or _I_AM.search(text):
                return found[1].strip("'")
        found = _CUSTOMER.search(self.system)
        return found[1] if found else None

    def secrets(self, text: str) -> str | None:
        """The answer to messages about PINs; None for any other."""
        given = _EMAIL.search(text) or _MASKED.search(text)
        if given and not _CREDENTIALS.sub("", _EMAIL.sub("", text)).strip(" .,:;=*!?"):
            if self.can_order:
                return "Thank you, you are logged in. What may I do for you?"
            return (
                "To log in I need both your e-mail address and your PIN. If you have"
                " told me both, they did not fit together."
            )
        text = _GIVEN.sub("", text)
        if _SECRET.search(text) and _WANTS.search(text):
            return (
                "I never see PINs, and I never tell one: not yours and not anybody"
                " else's."
                f" If you have forgotten yours, a person has to help.{self.person}"
            )
        return None

    def memory(self, text: str) -> str | None:
        """The answer to what can be known from earlier messages; None otherwise."""
        earlier = self.heard[:-1]
        if _FIRST.search(text):
            return _quoted("The first thing that you said was", earlier[:1])
        if _BEFORE.search(text):
            return _quoted("Before this you said", earlier[-1:])
        if _WHO_AM_I.search(text) or re.search(r"\bmy name\b.*\?", text, re.I):
            if self.name is None:
                return "You have not told me your name yet."
            return f"Your name is {self.name}."
        if asked := _WHOSE.search(text):
            return self._fact(asked[1].strip().lower())
        if _INTRODUCED.fullmatch(text):
            return f"Nice to meet you, {self.name}! {self._offer()}"
        return None

    def trouble(self, text: str) -> str | None:
        """The answer to what is broken; None otherwise."""
        if not _BROKEN.search(text):
            return None
        return (
            "I'm sorry to hear that. I can't repair anything from here; please ask for"
            f" help with your device, and tell what you see.{self.person}"
        )

    def _fact(self, thing: str) -> str | None:
        if thing == "name":
            return f"Your name is {self.name}." if self.name else _UNTOLD.format(thing)
        for text in reversed(self.heard[:-1]):
            for name, value in _FACT.findall(text):
                if name.lower() == thing:
                    return f"You told me that your {thing} is {value.strip()}."
        return None if "order" in thing else _UNTOLD.format(thing)

    def pleasantry(self, text: str) -> str | None:
        """The answer to greetings and the like; None for any other."""
        if _HOW_ARE_YOU.search(text):
            return (
                f"Hello{self._comma()}! I'm doing well, thank you for asking.\n\n"
                f"{self._able()}\n\nWhat can I do for you today?"
            )
        if (fact := _FACT.search(text)) and _KEPT.search(text):
            return f"I'll remember that your {fact[1]} is {fact[2].strip()}."
        if _PERSON.search(text):
            return f"I am a program, and no person.{self.person}"
        if _BYE.search(text):
            return f"Goodbye{self._comma()}, and thank you for your visit!"
        if _WHO_ARE_YOU.search(text):
            return f"I am the assistant of {self.shop}: a program, no person. " + (
                self._able()
            )
        if _ABLE.search(text):
            return f"{self._able()}\n\n{self._offer()}"
        if _HELLO.search(text):
            return (
                f"Hello{self._comma()}, and welcome! I am the assistant of {self.shop}."
                f"\n\n{self._able()}\n\n{self._offer()}"
            )
        if _THANKS.search(text):
            return "You're welcome! Is there anything else that I can do for you?"
        return None

    def otherwise(self) -> str:
        """The answer to anything else."""
        return (
            "I'm afraid I have no good answer to that, and I don't want to make one up."
            f" {self._able()}{self.person}"
        )

    def _able(self) -> str:
        if not self.can_browse:
            return "I can chat with you, and I remember what you tell me."
        kinds = f" ({self.categories})" if self.categories else ""
        able = (
            f"I can show you what there is{kinds}, search for products, and tell you"
            " prices and what is in stock."
        )
        if self.can_order:
            able += " I can also place orders for you, and look up the ones you made."
        return able

    def _offer(self) -> str:
        if not self.can_browse:
            return "What would you like to talk about?"
        if self.can_order:
            return "You are logged in, so just tell me what you would like."
        return (
            "If you want to order, please tell me your e-mail address and your PIN"
            " first."
        )

    def _comma(self) -> str:
        return f", {self.name.split()[0]}" if self.name else ""


_UNTOLD = "You have not told me your {} yet."


def _quoted(head: str, said: Sequence[str]) -> str:
    if not said:
        return "This is the first thing that you said to me."
    short = " ".join(said[0].split())
    cut = "…" if len(short) > _QUOTED else ""
    return f"{head}: “{short[:_QUOTED]}{cut}”"
