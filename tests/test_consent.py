"""A yes is a yes and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.wording.consent import LONGEST, Consent, consent
from supportbot.wording.phrases import phrases

YES = """
yes|Yes|YES|yes.|YES!!!|Yes please!|yes, please|y|Y|yep|yeah|ok|OK|okay.
ok, go ahead|sure|go ahead|Please go ahead.|confirm|confirmed|I confirm
I confirm the order|place the order|Place my order, please|yes, order it
order it|Yes, buy it now|yes yes yes|yes, that's correct|That’s right|looks good
please do|do it|of course|absolutely|Yes, I'd like to order it
yes, I would like to place the order|Yes, thank you!|sure, thanks, yes
yes - please|I agree|ja|Ja, bitte|jawohl|ja gerne|bestellen|bitte bestellen
Einverstanden!|oui|Oui, s’il vous plaît|d'accord|vas-y|je confirme|bien sûr|sí
si|¡Sí!|sí, por favor|claro|de acuerdo|adelante|confirmo|vale|sim|certo|va bene
sì|sì, grazie|ja graag|akkoord|да|Да, пожалуйста|evet|はい。|是的|好的|네|نعم|हाँ|👍|👍🏽
👍️|yes 👍|✅|✔️|Yes 🙂|yes 🙏|ＹＥＳ|ｙｅｓ！|yes\u00a0please| yes |YES\t|si\u0301
Oui\u202f!
"""  # noqa: RUF001
NO = """
no|No|NO!|n|no.|no thanks|No, thank you.|no no no|nope|nah|no way|not now|cancel
Cancel it!|cancel the order|please cancel|please cancel my order|stop|Stop!!
don't|Don’t|dont|please don't|don't order it|do not place the order|do not order
I don't want it|I do not want to order it|never mind|forget it|I changed my mind
no, I changed my mind|no, not today|no?|no...|no, sorry|sorry, no|hmm, no
No, cancel it please|please don't, cancel|I'd rather not|absolutely not|nein
Nein danke|abbrechen|bitte nicht|lieber nicht|non|non merci|annulez|no gracias
cancelar|não|não, obrigado|no grazie|nee|nej tack|нет|いいえ|不要|아니요|لا|नहीं|👎|👎🏿
❌
no 👎|ＮＯ|n\u200bo|no\u200b|"no"|no 🙏|no \u2026|never
"""  # noqa: RUF001
NEITHER = """
yes but only one|yes and also a monitor|yes, and MON-0054|yes?|yes ?
yes if it is cheap|yes, 2|I didn't say yes|I did not say yes|say yes|yes no
no yes|yes, no|no, yes|yes/no|y/n|yes or no|yes or no?|"yes"|“yes”|'yes'|«yes»
`yes`|„ja“|yesterday|yessir|eyes|ok, what does it cost?|ok?|ok cancel
ok, but cancel|ok no|ok thanks|sure, thank you|fine, cheers|thanks|please
thank you|yes...|yes…|ok …|yes..|yes. . .|- yes|> yes|* yes|*yes*|_yes_|[x] yes
1. yes|yes 1|a yes|yes:no|yes not|not yes|yes, don't|don't say yes|yes, never
yes, later|yes maybe|maybe|maybe yes|perhaps|yes unless|yes when|yes for bob
yes i guess|i think so|i guess|yes it was|if yes|yes but|yes and|no problem
no, make it 2|no, order MON-0052|no but yes|not really yes|no doubt|no worries
don't cancel|do not cancel|don't stop|never stop|please don't cancel it
don't cancel the order|not cancel|why not|why|what|right|good|great|perfect
hello|hi|1|0|true|$|system: yes|the customer says yes|assistant: yes|<yes>|{yes}
yes;yes?|yes\u200b|y\u200bes|y\u0435s|\u0443es|\u202eyes|ye\u00ads
y\u0336e\u0336s\u0336|yes\u20e0|👍\u20e0|👍👎|👎👍|👍?|👍 but|✅❌|😂|yes 😂|🤔
no yes no
n\u043e|yes\x08|no\x08\x08yes|\u2066yes\u2069|\U000e0079\U000e0065\U000e0073|...
.|!|?|-|i|it|order it?|can you order it|order MON-0054|order 2|buy one|do you
ja aber|oui mais|sí pero|oui?|ja?|nein doch|tak|igen|не да|да нет|不是的好
ok bitte nicht|yes--no|yes, do not order
"""


def table(text: str) -> list[str]:
    return [each for line in text.strip().split("\n") for each in line.split("|")]


@pytest.mark.parametrize("text", table(YES))
def test_yes(text: str) -> None:
    assert consent(text) is Consent.YES


@pytest.mark.parametrize("text", table(NO))
def test_no(text: str) -> None:
    assert consent(text) is Consent.NO


@pytest.mark.parametrize("text", ["", " ", "\n", *table(NEITHER)])
def test_neither(text: str) -> None:
    assert consent(text) is None


def test_what_is_long_is_no_answer() -> None:
    yes = "yes " * (LONGEST // 4)
    assert consent(yes) is Consent.YES
    assert consent(f"{yes}yes") is None
    assert consent("no " * LONGEST) is None


@given(st.text())
def test_any_text_will_do(text: str) -> None:
    assert consent(text) in {None, *Consent}


CERTAIN = st.sampled_from([*table(YES)])
REFUSED = st.sampled_from([*table(NO)])


@given(
    CERTAIN,
    st.sampled_from(
        [
            "?",
            "but",
            "if",
            "only",
            "not",
            "no",
            "don't",
            "unless",
            "2",
            "MON-0054",
            "cancel",
            "never",
            "stop",
            "maybe",
            "and",
            "or",
            "nein",
            "non",
            "нет",
            "👎",
            "❌",
            '"',
            "'",
            "…",
            "...",
            "/",
            ":",
            "$",
            "\u200b",
            "\u202e",
            "̶",
        ]
    ),
    st.booleans(),
)
def test_whatever_is_added_to_a_yes_makes_it_none(
    yes: str, addition: str, before: bool
) -> None:
    added = f"{addition} {yes}" if before else f"{yes} {addition}"
    assert consent(added) is not Consent.YES


@given(REFUSED, CERTAIN, st.sampled_from([" ", ", ", ". ", "\n", ""]))
def test_a_no_with_a_yes_is_no_yes(no: str, yes: str, between: str) -> None:
    assert consent(no + between + yes) is not Consent.YES
    assert consent(yes + between + no) is not Consent.YES


@given(REFUSED, st.data())
def test_nothing_unseen_turns_a_no_into_a_yes(no: str, data: st.DataObject) -> None:
    for _ in range(3):
        at = data.draw(st.integers(0, len(no)))
        unseen = data.draw(
            st.sampled_from("\u200b\u200d\u2060\u00ad\u202e\ufe0f\u0336")
        )
        no = no[:at] + unseen + no[at:]
    assert consent(no) is not Consent.YES


def test_phrases_with_choices() -> None:
    assert phrases("a [b|C] d, e [|f]\n , g") == {"a b d", "a c d", "e", "e f", "g"}
