"""The consumer's parts; `consume.py` puts them together."""
