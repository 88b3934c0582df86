"""The producer's one package: settings, payloads, pace, sending, and what is told about it."""
