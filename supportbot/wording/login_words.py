"""A message about a login in tokens, and the words that tell a PIN from other numbers.

All tables hold folded words; see `supportbot.wording.folding`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from supportbot.wording.folding import folded


class Token(NamedTuple):
    """A piece of a folded text.

    Attributes:
        kind: `mask` (a masked PIN), `label` or `weak` (words for a PIN), `email`,
            `number` (digits in a row), `word`, `sign` (one letter of a script without
            spaces), `gap`, or `mark` (any other character).
        start, end: where it stands in the folded text.
    """

    kind: str
    text: str
    start: int
    end: int


def tokens(text: str) -> Iterator[Token]:
    """All of a folded text, in order."""
    at = 0
    for start, end, _ in [*addresses(text), (len(text), len(text), False)]:
        for found in _TOKEN.finditer(text, at, start):
            yield Token(found.lastgroup or "", found[0], *found.span())
        if start < end:
            yield Token("email", text[start:end], start, end)
        at = end


def addresses(text: str) -> Iterator[tuple[int, int, bool]]:
    """What looks like an e-mail address in a folded text.

    Yields:
        Start, end, and whether it is a whole one, with a domain that may exist.
    """
    floor, at = 0, text.find("@")
    while at >= 0:
        start = at
        while start > floor and _LOCAL.match(text, start - 1):
            start -= 1
        while start < at and not text[start].isalnum():
            start += 1
        whole = _DOMAIN.match(text, at + 1)
        domain = whole or _HOST.match(text, at + 1)
        floor = at + 1  # nothing is looked at twice
        if start < at and domain:
            floor = domain.end()
            yield start, floor, whole is not None
        at = text.find("@", floor)


def _split(text: str) -> list[str]:
    return folded(text)[0].split()


def _words(text: str) -> frozenset[str]:
    return frozenset(_split(text))


_UNSPACED = "\u1100-\u11ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_LETTER = rf"[^\W\d_{_UNSPACED}]"
"""Letters of scripts that put spaces between words, and of those that don't."""

_HOST_PART = rf"(?:[^\W_{_UNSPACED}]|[_-])++"
_LOCAL = re.compile(rf"[^\W{_UNSPACED}]|[.%+'&~-]")
_HOST = re.compile(rf"{_HOST_PART}(?:\.{_HOST_PART})*")
_DOMAIN = re.compile(  # a PIN may follow directly, or after a hyphen
    rf"(?:{_HOST_PART}\.)+{_LETTER}{{2,24}}+"
    rf"(?=\Z|[^\w-]|[{_UNSPACED}]|-?\d{{4,8}}(?![^\W{_UNSPACED}])|-+(?!\w))"
)

_LABELS = """
    pin, pin code, pin number, pin no, pin nr, pin num, pin nummer, pin zahl, mypin,
    personal identification number, kundenpin, passcode, pass code, password, pass word,
    passwd, passphrase, pw, pwd, secret code, secret number, security code, access code,
    login code, kennwort, passwort, geheimzahl, geheimnummer, geheimcode,
    persönliche identifikationsnummer, contraseña, clave secreta, clave de acceso,
    número secreto, código secreto, código pin, mot de passe, mdp, code secret,
    code pin, senha, palavra passe, wachtwoord, codice segreto, codice pin, parola,
    parola chiave, hasło, kod pin, lösenord, adgangskode, heslo, şifre,
    пин, пин код, пинкод, пароль,
    密码, 密碼, 暗証番号, パスワード, 비밀번호, الرقم السري, كلمة المرور, पिन
"""
_WEAK_LABELS = """
    code, secret, clave, código, codice, kod, kode, код, passe, pass, geheim, 番号
"""


def _any_of(table: str) -> str:
    """A pattern for the phrases of a table, the longer first, in any spacing."""
    phrases = {" ".join(p.split()) for p in folded(table)[0].split(",")}
    longest = sorted(phrases, key=len, reverse=True)
    return "|".join(re.escape(p).replace(r"\ ", r"[\s-]{0,2}") for p in longest)


_TOKEN = re.compile(
    r"(?P<mask>pin \*{4})"
    rf"|(?P<label>(?:{_any_of(_LABELS)}|p(?P<_>[\s._*-]{{0,2}})[i1|!](?P=_)n\.?)"
    rf"(?!{_LETTER}|(?<=pin) \*{{4}}))"
    rf"|(?P<weak>(?:{_any_of(_WEAK_LABELS)})(?!{_LETTER}))"
    rf"|(?P<number>\d+)|(?P<word>{_LETTER}+)|(?P<sign>[{_UNSPACED}])"
    r"|(?P<gap>\s+)|(?P<mark>.)"
)

SMALL = _words(
    """
    a ah also am an and are as at be been believe but by called can chosen correct could
    d dear equals follows for from given goes guess had has have hello here hey hi how i
    id if im in info is it its kindly let like ll login log m maybe me mine my need no
    not now number of oh ok okay on one only or our please pls probably re remember s
    set should so sorry still sure t thank thanks that the then there these they think
    this thx to too try use used using ve very wait was we well what when where which
    will with would yes you your says always does says done cheers regards
    aber als auch auf bin bitte da danke das dein der die ein eine es für gehört hallo
    ich ihr ist ja lautet mein meine mit nein nummer oder sind so und war wie zu
    avec c ce cest de des du est et j je la le les ma merci mes moi mon ou pour sont un
    une votre voici bonjour svp si
    al con del el ella en eso esta este gracias hola los mi mis muy para por que son su
    tu un una y favor
    che ciao e grazie il lo mia mie mio per sono sua suo
    aqui com é eu meu minha o obrigado olá os por são uma
    het hoi ik mijn nummer dank van voor wordt
    nr num numero nº n mot номер мой это вот и
    は 是 の が を で す と も 为 為 我 的 이 은 는
    """
)
"""Words that may stand between a label and its number, and say nothing themselves."""

LOGIN_WORDS = SMALL | _words(
    """
    account address authenticate credentials customer data details email emails evening
    good identify know login logging mail mails me morning afternoon name sign signing
    user username verify verification want wanna would team support there myself again
    anmelden anmeldung adresse einloggen guten tag morgen abend möchte mich logge
    adresse connecter connexion identifiant veux voudrais bonsoir courriel
    buenos buenas días tardes correo electrónico iniciar sesión quiero dirección
    accedere accesso entrare vorrei posta entrar conta quero endereço
    inloggen
    """
)
"""Words of somebody who says nothing but who they are."""

_DIGITS = (
    "zero oh nought null nul zéro cero ноль \u3007 零",
    "one eins un uno een um um 一",
    "two zwei zwo deux dos due twee dois 二",
    "three drei trois tres tre drie três 三",
    "four vier quatre cuatro quattro quatro 四",
    "five fünf cinq cinco cinque vijf 五",
    "six sechs seis sei zes 六",
    "seven sieben sept siete sette zeven sete 七",
    "eight acht huit ocho otto oito 八",
    "nine neun neuf nueve nove negen 九",
)
DIGIT_WORDS: Mapping[str, str] = {
    word: str(digit) for digit, words in enumerate(_DIGITS) for word in _words(words)
}
_TEENS = _split(
    """
    ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
    """
)
_TENS = _split("twenty thirty forty fifty sixty seventy eighty ninety")
LARGE_WORDS: Mapping[str, str] = {
    "hundred": "00",
    "thousand": "000",
    **{word: str(number) for number, word in enumerate(_TEENS, 10)},
    **{word: str(ten * 10) for ten, word in enumerate(_TENS, 2)},
}
"""Number words that are no digits; a PIN in them is masked, but not read."""
TIMES: Mapping[str, int] = {"double": 2, "triple": 3}

KINDS = _words(
    """
    error errors status http https zip zipcode postcode post postal product promo
    promotion discount coupon voucher gift tracking order orders ordered invoice ticket
    case reference ref customer client account phone telephone tel mobile cell fax model
    serial version build firmware windows year room street house flat apartment apt
    extension ext area country dial dialling sort bank routing iban article item part
    sku bug issue port line page chapter iso din cost costs price priced paid pay worth
    total budget about around approx approximately roughly nearly over under above below
    than least every quantity qty amount bought buy sold sell want wants need needs at
    fehler fehlercode fehlernummer bestellung bestellnummer rechnung rechnungsnummer plz
    postleitzahl kundennummer telefon telefonnummer artikel artikelnummer jahr preis
    bestelle brauche etwa ungefähr
    erreur commande facture téléphone postal prix année environ
    pedido factura teléfono precio año errore ordine fattura telefono prezzo
    """
)
"""Words that say of the number behind them that it is something else."""
LINKS = _words(
    "is was are were number no nr num id the of n ist sind lautet est es"
) | {
    *":=#",
    "numero",
    "nummer",
}
"""What may stand between such a word and its number."""
SHORTENED = _words("no nr num tel ref ext approx art")
"""Words whose dot ends no sentence."""
BEFORE_YEARS = _words(
    """
    in since from until till of before after during by im seit von bis en depuis desde
    jan feb mar apr may jun jul aug sep sept oct nov dec january february march april
    june july august september october november december
    """
)
UNITS = _words(
    """
    x pcs pc piece unit item euro eur usd dollar gbp chf pln km mm cm kg g mah watt w hz
    mhz ghz gb mb tb am pm uhr people sheet stück pièce times percent
    """
)
"""Words for what there is so much of, besides those that end in s."""
