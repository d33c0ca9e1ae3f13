"""What the simulated third parties know: terms in the order in which they win."""

from __future__ import annotations

from collections.abc import Mapping


def look_up(text: str, known: Mapping[str, str], unknown: str) -> str:
    """The answer to the first known term that stands in the text, letter by letter.

    Args:
        text: the customer's.
        known: answers by term; the first one listed wins.
        unknown: the answer when none is there.
    """
    return next((known[term] for term in known if term in text), unknown)


def _paragraphs(*texts: str) -> str:
    return "".join(f"<p>{text}</p>" for text in texts)


SUPPORT: Mapping[str, str] = {
    "flashing red light": _paragraphs(
        "If you notice a flashing red light on your device, it is important to take"
        " immediate action to address the issue.",
        "This flashing light often indicates that there is a problem that needs to be"
        " resolved, and ignoring it could lead to further complications.",
        "To begin troubleshooting, unplug the device from the power source, wait for at"
        " least 30 seconds, and then plug it back in to see if the issue persists.",
        "After reconnecting the device, observe whether the red light continues to"
        " flash or if it returns to a normal state.",
        "If the light remains flashing, it may be necessary to consult the user manual"
        " or contact customer support for further assistance.",
        "In some cases, a flashing red light can signify a hardware failure, so it is"
        " crucial to address the situation promptly.",
    ),
    "device not responding": _paragraphs(
        "If your device is not responding, stay calm: in most cases it can be brought"
        " back to life without losing any of your settings.",
        "Begin by checking that the power cable is firmly connected at both ends and"
        " that the outlet works with another device.",
        "Next, press and hold the power button for at least 10 seconds until the device"
        " turns off completely, and then switch it on again.",
        "If nothing happens after the restart, disconnect all accessories, since a"
        " faulty accessory can keep the device from starting properly.",
        "Should the device remain unresponsive, a reset to factory settings as the user"
        " manual describes it may be necessary.",
        "If none of these steps helps, please contact customer support and have the"
        " serial number and the date of purchase at hand.",
    ),
}
"""Technical support's answers by term; HTML paragraphs with nothing between them."""

SUPPORT_UNKNOWN = "No matching terms found."
"""What technical support says otherwise: no paragraph at all."""

PRODUCTS: Mapping[str, str] = {
    "Space Basketball": _paragraphs(
        "A regulation-size basketball that obeys the gravity of any planet you pick.",
        "The built-in homing beacon brings it back from orbit after every missed shot.",
        "WARNING: Slam dunks on Jupiter are at the player's own risk.",
    ),
    "Quantum Coffee Maker": _paragraphs(
        "Brews every kind of coffee at once, until you look into the cup.",
        "Entangled mugs keep your office coffee exactly as hot as the one at home.",
        "WARNING: Do not observe the machine while it is brewing.",
    ),
    "Telepathic Toaster": _paragraphs(
        "Reads your mind and browns each slice just the way you are imagining it.",
        "Remembers the whole family's tastes, including those nobody has admitted.",
        "WARNING: Keep away from guests who are thinking about charcoal.",
    ),
    "Antigravity Socks": _paragraphs(
        "Self-levitating socks that float gently in your drawer.",
        "Never lose a sock again - they actively seek their matching pair!",
        "WARNING: Do not wear during thunderstorms or solar flares.",
    ),
    "Time Travel Alarm Clock": _paragraphs(
        "Overslept? This alarm clock rings an hour before you set it.",
        "The snooze button takes you back nine minutes, as often as you like.",
        "WARNING: Never set two of these clocks to wake each other.",
    ),
}
"""The catalog's descriptions by product; HTML paragraphs with nothing between them."""

PRODUCT_UNKNOWN = "<p>Product not found in catalog.</p>"
"""What the catalog says otherwise."""

SENTENCES = (
    "Excellence in service creates loyal customers.",
    "A patient ear solves half of every problem.",
    "Your question today is our improvement tomorrow.",
    "Kindness costs nothing and is remembered for years.",
    "Every customer deserves an answer in plain words.",
    "Trust is earned one honest reply at a time.",
    "We are only finished when you are satisfied.",
    "Good support begins with listening.",
    "A promise kept is worth more than a discount.",
    "The best solution is the one that lasts.",
    "Behind every ticket there is a person.",
    "Small courtesies make great companies.",
    "Clear answers are the shortest way to a smile.",
    "A complaint is a gift from somebody who still cares.",
    "Quality is what remains when the sale is forgotten.",
    "We would rather explain it twice than leave you in doubt.",
    "Respect is the first step of every repair.",
    "A calm voice is the most useful tool in the workshop.",
    "Your time matters as much as your order.",
    "Great service is remembered long after the price is not.",
)
"""What the real agent says: one of these, whatever the matter."""
