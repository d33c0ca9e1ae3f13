"""Chat on this terminal: `python3 main.py`."""

import sys

from supportbot.options import main

if __name__ == "__main__":
    sys.exit(main())
