"""Halmos with one repair; scripts/assurance/prove.py runs it, in halmos's own environment.

Halmos 0.3.3 declares SHA-256 as a function of as many bits as its input has bytes, and stops at the
first hash of something unknown. It is declared anew here.
"""

import sys
from typing import Any

import halmos.sevm
import z3
from halmos.__main__ import main

_declare = halmos.sevm.Function


def _function(name: str, *sorts: Any) -> Any:
    if name.startswith("f_sha256_"):
        size_bytes = int(name.rpartition("_")[2])
        sorts = (z3.BitVecSort(8 * size_bytes), *sorts[1:])
    return _declare(name, *sorts)


if __name__ == "__main__":
    halmos.sevm.Function = _function
    sys.exit(main())
