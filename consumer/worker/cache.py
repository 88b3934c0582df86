"""Remembers the ids that this process finished last, to save calls; forgetting does no harm."""

from collections import OrderedDict
from threading import Lock


class FinishedIds:
    """A thread-safe LRU set of at most `size` ids; size 0 remembers nothing."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._lock = Lock()

    def add(self, message_id: str) -> None:
        """Remember an id whose completion is durably recorded."""
        with self._lock:
            self._ids[message_id] = None
            self._ids.move_to_end(message_id)
            while len(self._ids) > self._size:
                self._ids.popitem(last=False)

    def __contains__(self, message_id: str) -> bool:
        with self._lock:
            if message_id not in self._ids:
                return False
            self._ids.move_to_end(message_id)
            return True
