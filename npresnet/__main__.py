"""`python -m npresnet` is the command `npresnet`."""

from __future__ import annotations

import sys

from npresnet.cli import main

if __name__ == "__main__":
    sys.exit(main())
