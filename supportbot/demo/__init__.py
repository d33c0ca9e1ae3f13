"""The third parties, simulated: those of the challenge, a language model, a shop.

Those of the challenge answer with the same bytes, and have the same bugs. The model
needs no key; the shop is an MCP server. They run alone with
`python3 -m supportbot.demo`, or inside the program.
"""

from supportbot.demo.services import DemoServices, DemoSettings

__all__ = ["DemoServices", "DemoSettings"]
