"""Every rule that the doctor knows, in the order in which questions are told."""

from __future__ import annotations

from doctor.rules import (
    dead_letters,
    heartbeat,
    identities,
    polling,
    receives,
    retention,
    running,
    stopping,
    visibility,
)

RULES = (
    *visibility.RULES,
    *heartbeat.RULES,
    *stopping.RULES,
    *receives.RULES,
    *dead_letters.RULES,
    *retention.RULES,
    *identities.RULES,
    *polling.RULES,
    *running.RULES,
)
