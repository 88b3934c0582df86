"""The consumer's parts; `consume.py` puts them together."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an older one could not even read the other files
    sys.exit(f"{sys.argv[0]}: needs Python 3.11 or newer; this is {sys.version.split()[0]}")
