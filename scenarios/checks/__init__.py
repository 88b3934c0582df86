"""The questions that a case asks of a history; pure."""
