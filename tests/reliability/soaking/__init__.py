"""A long run under fire: consumers are killed, calls are faulted, and every message is judged."""
