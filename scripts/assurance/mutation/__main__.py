"""Mutates the contracts: `python -m scripts.assurance.mutation`."""

import sys

from scripts.assurance.mutation.command import main

if __name__ == "__main__":
    sys.exit(main())
