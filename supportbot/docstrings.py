"""What classes say of themselves: the documents are made from it."""

from __future__ import annotations

import inspect
import re

_ENTRY = re.compile(r"(?P<names>\w+(?:, \w+)*):\s+(?P<meaning>\S.*)")


class Undocumented(Exception):
    """A class and its docstring don't have the same attributes."""


def documentation(shape: type) -> tuple[str, dict[str, str]]:
    """What a class's docstring says: about itself, and about its attributes.

    An entry of the section `Attributes:` is `name: meaning`, or `first, second:
    meaning` for several, and goes on in the lines that are indented further.

    Raises:
        Undocumented: an entry is not of that form.
    """
    text = inspect.cleandoc(shape.__doc__ or "")
    about, _, rest = text.partition("\n\nAttributes:\n")
    entries: list[str] = []
    for line in rest.partition("\n\n")[0].splitlines():
        if line.startswith("     ") and entries:
            entries[-1] += f" {line.strip()}"
        else:
            entries.append(line.strip())
    meant: dict[str, str] = {}
    for entry in entries:
        if (parts := _ENTRY.fullmatch(entry)) is None:
            raise Undocumented(f"{shape.__name__}: expected NAME: MEANING, got {entry}")
        meant |= dict.fromkeys(parts["names"].split(", "), parts["meaning"])
    return about, meant
