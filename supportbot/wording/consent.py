"""Whether an answer to "Shall I order this? yes or no" is a yes, a no, or neither.

A message is consent only if it can be cut, from its first word to its last, into
phrases that say yes, and into nothing else; no list of exceptions could be long enough.
So whatever is not known here (a condition, a number, a question, a quotation, a word
with a letter of another alphabet) makes it no consent, and the customer is asked again.
A no may come with somewhat more around it, since nothing happens then.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from enum import StrEnum

from supportbot.wording.phrases import phrases


class Consent(StrEnum):
    """What somebody answered."""

    YES = "yes"
    NO = "no"


LONGEST = 200
"""Characters; what is longer is more than a yes or a no."""


def consent(text: str) -> Consent | None:
    """What a message answers to a question for yes or no.

    Returns:
        None if it is not surely an unconditional yes, or a no, and nothing else.
    """
    if len(text) > LONGEST:
        return None
    plain = unicodedata.normalize("NFKC", text).casefold().strip()
    plain = plain.translate(_APOSTROPHES)
    if not _HESITANT.search(plain):
        words = _words(_TONES.sub("", plain), _MARKS)
        sure = _consists(words, _YES | _OKAY | _PLEASE | _THANKS, _YES)
        if sure or _consists(words, _OKAY | _PLEASE, _OKAY):
            return Consent.YES
    plain = "".join(c for c in plain if unicodedata.category(c) != "Cf")
    if _UNDOES.search(plain):
        return None
    words = _words(_TONES.sub("", plain), _MARKS | {"?", '"'})
    refused = _consists(words, _NO | _PLEASE | _THANKS | _SOFT, _NO)
    return Consent.NO if refused else None


def _words(text: str, marks: Iterable[str]) -> list[str]:
    """The words of a text, and signs that are a word; these marks don't count."""
    for mark in marks:
        text = text.replace(mark, " ")
    for sign in _SIGNS:
        text = text.replace(sign, f" {sign} ")
    return text.split()


def _consists(
    words: list[str], phrases: frozenset[str], needed: frozenset[str]
) -> bool:
    """Whether the words are phrases without a rest, one of the needed among them."""
    ways: dict[int, set[bool]] = {0: {False}}
    for end in range(1, len(words) + 1):
        for start in range(max(0, end - _MOST_WORDS), end):
            phrase = " ".join(words[start:end])
            if start in ways and phrase in phrases:
                had = {one or phrase in needed for one in ways[start]}
                ways.setdefault(end, set()).update(had)
    return True in ways.get(len(words), ()) if words else False


_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u00b4`", "'"))
_MARKS = frozenset(".,!;-\u2013\u2014\u00a1\u3002\u3001\u060c\u0964")
_HESITANT = re.compile(r"\.\s*\.|--|^\W*-")
_UNDOES = re.compile(  # a no that takes back a no
    r"\b(?:don't|dont|do not|not|never|nicht|ne)\s+(?:\w+\s+)?"
    r"(?:cancel|stop|abort|decline|reject|refuse|forget|drop|scrap|skip|abbrechen|annule)"
)
_SIGNS = ("👍", "✅", "✔", "👎", "❌", "🚫", "🙏", "🙂", "😊")
_TONES = re.compile("(?<=[👍👎🙏])[\U0001f3fb-\U0001f3ff]|(?<=[👍👎✅✔❌🚫])\ufe0f")

_IT = "[it|them|this|that|these|the order|my order|this order|that order]"

_YES = phrases(
    f"""
    y, yes, yes i do, yes it is, yep, yeah, yea, yup, aye, ye, yes sir, yes indeed
    confirm, confirmed, i confirm, [|i] confirm {_IT}, [|i] hereby confirm, agreed
    [|i] agree, [|i] accept, approve, approved, [|i] approve {_IT}, affirmative
    [|please] go ahead, [|please] go for it, [|please] do it, please do, proceed
    please proceed, absolutely, definitely, certainly, of course, for sure, sure thing
    correct, [that's|that is|this is|it's|it is|all|all is] correct, by all means
    [that's|that is|this is] right, [looks|sounds] good [|to me]
    order, buy, order [now|please], buy now
    [order|buy|place|submit|send|purchase|take] {_IT} [|now|for me]
    [i want to|i'd like to|i would like to] [order|buy|take|have] {_IT} [|now]
    [i'll|i will] [order|buy|take|have] {_IT} [|now]
    [i want to|i'd like to|i would like to] place {_IT}
    i'll take it, i want it, i want [this|that|them], make it so, yes order
    ja, jawohl, jo, jep, jup, ja gerne, gerne, ja klar, klar, na klar, einverstanden
    bestellen, bestell es, bestelle es, jetzt bestellen, bestätigen, bestätige
    ich bestätige, bestätigt, bitte bestellen, natürlich, selbstverständlich
    oui, ouais, bien sûr, je confirme, confirmer, confirmez, d'accord, vas-y, allez-y
    vas y, allez y, commandez, commander, commande
    sí, si, claro, claro que sí, por supuesto, confirmo, confirmar, de acuerdo
    adelante, hazlo, pídelo, ordénalo
    sì, certo, confermo, conferma, va bene, d'accordo, certamente, procedi, ordina
    sim, com certeza, pode pedir
    graag, ja graag, akkoord, bevestig, ik bevestig, bevestigen
    ja tack, ja takk, ja tak, kyllä, joo, ano, áno, evet, da, так, да, конечно
    подтверждаю, ναι, はい, お願いします, 是, 是的, 好, 好的, 可以, 确认
    네, 예, نعم, हाँ, हां, כן
    ✅, ✔
    """  # noqa: RUF001
)
_OKAY = phrases("ok, okay, okey, okie, k, kk, sure, alright, all right, fine, vale, 👍")
"""What is a yes, but not together with thanks: "ok thanks" may be a goodbye."""
_PLEASE = phrases(
    "please, pls, plz, kindly, bitte, bitte schön, s'il vous plaît, s'il te plaît, svp"
    ", por favor, per favore, alstublieft, prosím, lütfen, пожалуйста, 请, 🙂, 😊"
)
_THANKS = phrases(
    "thanks, thank you, thx, ty, thanks a lot, thank you very much, many thanks, cheers"
    ", danke, danke schön, vielen dank, merci, merci beaucoup, gracias, muchas gracias"
    ", grazie, grazie mille, obrigado, obrigada, dank je, dank u, спасибо, 谢谢, 🙏"
)
_NO = phrases(
    f"""
    n, no, nope, nah, no no, no way, not now, not today, not yet, not really, rather not
    cancel, cancelled, canceled, cancel {_IT}, stop, stop {_IT}, abort, abort {_IT}
    don't, dont, do not, please don't, don't do [it|that], i don't, i do not
    [don't|dont|do not] [order|buy|place|send|submit|purchase|confirm] [|{_IT[1:]}
    [|i] [don't|dont|do not] want [it|them|this|that|to|to order|any]
    [|i] [don't|dont|do not] want to [order|buy|place] {_IT}
    [i'd|i would] rather not, i changed my mind, i've changed my mind, changed my mind
    never mind, nevermind, forget it, forget [that|this], leave it, drop it
    scrap [it|that], i decline, decline, declined, reject, rejected, refuse, i refuse
    negative, never, absolutely not, certainly not, definitely not, of course not
    no deal, skip it
    nein, ne, nee, nö, nein danke, abbrechen, abbruch, stornieren, lieber nicht, nicht
    bitte nicht, nicht bestellen, auf keinen fall, stopp, doch nicht
    non, non merci, annuler, annulez, annule, pas maintenant, ne commandez pas
    cancelar, cancela, cancélalo, ahora no, mejor no, no quiero, no lo quiero
    annulla, annullare, no grazie, non ora, não, nao, não quero, agora não
    nej, nej tack, nej tak, nei, nei takk, ei, nie, hayır, нет, не надо, отмена, ні, όχι
    annuleren, annuleer, liever niet, いいえ, キャンセル, 不, 不要, 不用, 不是, 取消
    아니요, 아니오
    لا, नहीं, לא, 👎, ❌, 🚫
    """  # noqa: RUF001
)
_SOFT = phrases(
    "sorry, i'm sorry, actually, hm, hmm, oh, well, then, at all, thing, that's all"
    ", that is all, that's it, maybe later, later, i think, for now, anymore, any more"
)
"""What may stand around a no."""

_MOST_WORDS = max(len(p.split()) for p in _YES | _NO | _PLEASE | _THANKS | _SOFT)
