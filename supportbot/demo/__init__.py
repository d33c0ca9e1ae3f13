"""The third parties of the challenge, simulated: the same bytes, the same bugs.

They run alone with `python3 -m supportbot.demo`, or inside the program.
"""

from supportbot.demo.services import DemoServices, DemoSettings

__all__ = ["DemoServices", "DemoSettings"]
