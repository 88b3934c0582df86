"""Starts a soak: producer and consumers under fire on a stack of their own, then a verdict."""

import sys
import time
from pathlib import Path

from reliability.soaking import run

ROOT = Path(__file__).resolve().parents[2]

if __name__ == "__main__":
    sys.exit(run.main(sys.argv[1:], ROOT / "reports" / time.strftime("soak-%Y%m%d-%H%M%S")))
