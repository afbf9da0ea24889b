"""``python -m stepbridge.compare A B``: the same as ``stepbridge compare A B``."""

from __future__ import annotations

import sys

from stepbridge.cli import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
