"""Whether a message asks, in plain words, for exactly one certain order.

Whoever asks like this need not be asked back, so it has to be sure. The message is
taken apart into SKUs, numbers and words. What is left when the items are taken out has
to be, as a whole, one of the sentences that the tables below make: "i want to order @".
There is no list of what must not occur. A word that is not known here makes the answer
False, be it a negation, a question, a price, a name or an instruction, and the customer
sees a summary first.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from supportbot.wording.phrases import phrases

LONGEST = 500
"""Characters; what is longer is more than an order."""


def names_order(text: str, order: Mapping[str, int]) -> bool:
    """Whether the customer's own message asks for this order and for nothing else.

    Args:
        text: the message as it was typed.
        order: how many of each SKU.

    Returns:
        True if the text wishes to order, names each SKU once and no other, and names
        their quantities: each at its SKU, or one for all ("2 each"), or none, if
        there is to be one of each.
    """
    skus = {_plain(sku): quantity for sku, quantity in order.items()}
    if not order or len(skus) < len(order) or not all(map(_SKU.fullmatch, skus)):
        return False
    if not all(type(quantity) is int for quantity in order.values()):
        return False
    if len(text) > LONGEST or not all(map(_is_harmless, text)):
        return False
    asked = _asked(_encoded(_plain(text), list(skus)))
    return asked == {str(at): quantity for at, quantity in enumerate(skus.values())}


def _plain(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).casefold()
    return plain.translate(_SAME).strip()


def _is_harmless(character: str) -> bool:
    """Whether a character can be seen, and changes no other."""
    return character in "\n\r\t" or unicodedata.category(character) not in _HIDDEN


def _encoded(plain: str, skus: Sequence[str]) -> str:
    """A text with SKUs as `@0`, numbers as `#2`, without what is only polite.

    What is neither a known SKU nor a number nor a word stays as it is, and fits into
    no sentence.
    """
    for sign in "()!":
        plain = plain.replace(sign, " ")
    plain = re.sub(r"\.(?=\s|$)", " ", plain)
    plain = re.sub(r"\n\s*(?:[-*] )?", " , ", plain)
    plain = re.sub(r"([,;:&+\u00d7])(?!\d)", r" \1 ", plain)
    plain = re.sub(r"(?<!\S)(?:x(\d+)|(\d+)x)(?!\S)", r"\1\2", plain)
    parts = []
    for chunk in plain.split():
        if chunk in skus:
            parts.append(f"@{skus.index(chunk)}")
        elif "@" in chunk or "#" in chunk or "=" in chunk:
            parts.append("?")
        elif _NUMBER.fullmatch(chunk) or chunk in _NUMBERS:
            parts.append(f"#{_NUMBERS.get(chunk, chunk)}")
        else:
            parts.append(_CONTRACTED.get(chunk, chunk))
    text = _SEVERAL.sub(lambda several: f"#{_SEVERALS[several[1]]}", " ".join(parts))
    text = _POLITE.sub("", f" {text} ")
    return re.sub(r"^,|,$", "", re.sub(r",(?: ,)+", ",", text.strip())).strip()


def _asked(text: str) -> dict[str, int] | None:
    """The items of an encoded text with their quantities, if it wishes to order."""
    each = _EACH.findall(text)
    text = " ".join(_EACH.sub("", text).split())
    text = _COLON.sub(r"\1 ", text)
    text = _FIRST.sub(r"@\3=\1\2", text)
    text = _BEFORE.sub("@", text)
    text = _AFTER.sub(r"\1", text)
    text = _LAST.sub(r"@\1=\2", text)
    if _ITEMS.sub("@", text) not in _WISHES:
        return None
    items = re.findall(r"@(\d+)(?:=(\w+))?", text)
    asked = dict(items)
    if len(asked) < len(items) or len(each) > 1:
        return None  # the same twice
    if each:
        return None if any(asked.values()) else dict.fromkeys(asked, int(each[0]))
    if "" in asked.values() and any(q.isdecimal() for q in asked.values()):
        return None  # "2 A and B" may mean two of both
    return {at: int(q) if q.isdecimal() else 1 for at, q in asked.items()}


_SAME = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u02bc\u00b4`", "'"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2043", "-"),
    }
)
_HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Me"})
_SKU = re.compile(r"(?=.*[a-z])(?=.*\d)[a-z0-9]+(?:[-_./][a-z0-9]+)*")
_NUMBER = re.compile(r"[1-9][0-9]{0,5}")

_NUMBERS = {
    word: str(number)
    for number, words in enumerate(
        (
            "one once eins uno um",
            "two twice zwei deux dos due dois twee",
            "three drei trois tres tre três drie",
            "four vier quatre cuatro quattro quatro",
            "five fünf cinq cinco cinque vijf",
            "six sechs seis sei zes",
            "seven sieben sept siete sette sete zeven",
            "eight acht huit ocho otto oito",
            "nine neun neuf nueve nove negen",
            "ten zehn dix diez dieci dez tien",
            "eleven elf",
            "twelve zwölf douze doce dodici doze",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty zwanzig vingt veinte venti vinte",
        ),
        start=1,
    )
    for word in words.split()
}
_SEVERALS = {"couple": "2", "pair": "2", "dozen": "12"}
_SEVERAL = re.compile(r"\ba (couple|pair|dozen)(?: of)?\b")
_CONTRACTED = {
    "i'd": "i would",
    "we'd": "we would",
    "i'll": "i will",
    "we'll": "we will",
    "i'm": "i am",
    "we're": "we are",
    "wanna": "want to",
}
_POLITE = re.compile(
    r"(?<= )(?:(?:hi|hello|hey|good (?:morning|afternoon|evening|day)|dear|there|please"
    r"|pls|plz|kindly|thanks|thank you|many thanks|cheers|so|then|now|right now|today"
    r"|right away|asap|immediately|just|also|yes|ok|okay|great|perfect|hallo|guten tag"
    r"|moin|bitte|danke|vielen dank|jetzt|auch|ja|gerne|gern|bonjour|bonsoir|merci"
    r"|s'il vous plaît|s'il te plaît|svp|oui|aussi|hola|buenos días|buenas tardes"
    r"|por favor|gracias|sí|también|ciao|buongiorno|per favore|grazie|anche|olá"
    r"|obrigado|obrigada|graag|alstublieft|dank je|ook) (?:, )?)+"
)

_EACH = re.compile(
    r"(?<![^ ])(?:, )?#(\d+) (?:pieces |units )?(?:of each|each of|each)(?![^ ])"
)
_COLON = re.compile(r"^([^@#:]+ [^@#: ]+) :(?: ,)? ")

# An item is `@0`, or `@0=2` when its quantity is known; an article is a quantity that
# may stand next to items without any.

_NOUN = (
    "(?:monitors?|computers?|laptops?|notebooks?|desktops?|printers?|keyboards?|mouse"
    "|mice|cables?|routers?|switch|switches|headsets?|webcams?)"
)
_UNIT = "(?:x|\u00d7|of|units?|pieces?|pcs|pc|items?|copies|stück|unidades|pièces|de)"
_NAME = (
    "(?:the|of|your|those|these|products?|items?|articles?|sku|model|artikel|produkt"
    f"|den|die|das|le|la|les|el|los|las|il|het|o|{_NOUN})"
)
_FIRST = re.compile(  # 2 pieces of the monitor @0
    rf"(?<![^ ])(?:#([0-9]+)|(an?|eine?|einen|une?|una)) (?:{_UNIT} ){{0,3}}"
    rf"(?:{_NAME} ){{0,3}}@(\d+)"
)
_BEFORE = re.compile(rf"(?<![^ ])(?:{_NAME} ){{1,3}}@")
_AFTER = re.compile(rf"(@\S+) {_NOUN}(?![^ ])")
_LAST = re.compile(  # @0, quantity 2
    r"@(\d+)(?: ,)?(?: (?:x|\u00d7|times|quantity|qty|quantity of))? #(\d+)"
    r"(?: (?:x|\u00d7|times|pieces?|pcs|pc|units?|stück|mal))?(?![^ ])"
)
_AND = " (?:(?:[,;&+] )?(?:and|plus|as well as|und|sowie|et|y|e|en)|[,;&+]) "
_ITEMS = re.compile(rf"@[\w=]+(?:{_AND}@[\w=]+)*")

_ORDER = "[order|buy|purchase]"
_WISHES = phrases(
    f"""
    {_ORDER} [|me|us] @ [|for me|for us]
    [i|we] [|hereby|will] {_ORDER} @ [|for me|for us]
    [|i|we] [want|need|wish|would like|would love|have|am going] to {_ORDER} @ [|for me]
    [i|we] [want|need|wish|would like|would love] to [get|have|take] @ [|for me|for us]
    [i am|we are] [ordering|buying|purchasing] @
    [|i|we] [want|need] @ [|for me|for us]
    [i|we] [would like|will take|will have|take] @ [|for me|for us]
    let me [order|buy|purchase|get|have|take] @
    [|i want to|we want to|i would like to|we would like to] place an order [for|of] @
    [|i want to|we want to|i would like to|we would like to] make an order [for|of] @
    [get|send|ship] [me|us] @
    [|i want to|i would like to] add @ to [my|the|our] order

    [ich|wir] [möchte|möchten|will|wollen|würde|würden] @ [bestellen|kaufen|haben]
    [ich|wir] [möchte|möchten|hätte|hätten|will|wollen] @
    [ich|wir] [bestelle|bestellen|kaufe|kaufen|nehme|nehmen|brauche|brauchen] @
    [bestelle|bestell|kaufe|kauf] [|mir|uns] @
    bestellen sie [|mir|uns] @
    @ [bestellen|kaufen]

    [je|nous] [veux|voudrais|souhaite|voulons|souhaitons] [|commander|acheter|prendre] @
    je [commande|prends|achète] @
    [commander|commandez|commandez-moi|acheter] @

    [quiero|quisiera|deseo|necesito|queremos] [|pedir|comprar|ordenar|encargar] @
    me gustaría [pedir|comprar|ordenar] @
    [pedir|comprar|pido|compro|encargo] @

    [voglio|vorrei|desidero|vogliamo] [|ordinare|comprare|acquistare] @
    [ordino|compro|acquisto|ordinare|comprare] @

    [quero|gostaria de|desejo] [comprar|encomendar|pedir] @
    [quero|encomendo|preciso de] @

    ik [wil|zou] @ [bestellen|kopen|hebben]
    ik [bestel|koop|neem|wil] @
    [bestel|koop] @
    """
)
"""All sentences that order `@`."""
