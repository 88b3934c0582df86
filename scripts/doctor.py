#!/usr/bin/env python3
"""Starts the doctor, which finds settings that cause trouble; see doctor/cli.py."""

from __future__ import annotations

import sys

try:
    from doctor.cli import main
    from sqs_worker import output
except ModuleNotFoundError as missing:
    sys.exit(f"doctor: {missing.name} is not installed in this Python; run: make venv")

if __name__ == "__main__":
    output.outlive_readers()
    sys.exit(main())
