"""Moves messages from a dead-letter queue back to the queue that they came from."""
