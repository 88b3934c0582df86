"""The modules of the harness that hold questions for cases to ask: those that say so in __all__."""

from __future__ import annotations

from support.children import ROOT

HARNESS = ROOT / "scenarios" / "harness"
QUESTIONS = sorted(
    f"harness.{path.stem}"
    for path in HARNESS.glob("*.py")
    if "\n__all__ = " in path.read_text(encoding="utf-8")
)
