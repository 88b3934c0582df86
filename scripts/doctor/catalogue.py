"""Every rule that the doctor knows, in the order in which questions are told."""

from __future__ import annotations

from doctor import (
    beats,
    dead_letters,
    hiding,
    identities,
    keeping,
    polling,
    receives,
    running,
    stopping,
)

RULES = (
    *hiding.RULES,
    *beats.RULES,
    *stopping.RULES,
    *receives.RULES,
    *dead_letters.RULES,
    *keeping.RULES,
    *identities.RULES,
    *polling.RULES,
    *running.RULES,
)
