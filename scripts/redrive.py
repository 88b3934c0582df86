#!/usr/bin/env python3
"""Starts the redrive, which brings back what is in the DLQ; see redrive/cli.py."""

from __future__ import annotations

import sys

try:
    from redrive.cli import main
    from sender import output
except ModuleNotFoundError as missing:
    sys.exit(f"redrive: {missing.name} is not installed in this Python; run: make venv")

if __name__ == "__main__":
    output.outlive_readers()
    sys.exit(main())
