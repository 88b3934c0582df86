"""Remembers the keys that this process finished last, to save calls; forgetting does no harm."""

from collections import OrderedDict
from threading import Lock


class FinishedIds:
    """A thread-safe LRU map of at most `size` ids to the content of the body that was finished.

    Size 0 remembers nothing.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._ids: OrderedDict[str, str] = OrderedDict()
        self._lock = Lock()

    def add(self, message_id: str, content: str) -> None:
        """Remember an id whose completion is durably recorded, with this body."""
        with self._lock:
            self._ids[message_id] = content
            self._ids.move_to_end(message_id)
            while len(self._ids) > self._size:
                self._ids.popitem(last=False)

    def has(self, message_id: str, content: str) -> bool:
        """Whether this id was finished with this body; another body is the ledger's to judge."""
        with self._lock:
            if self._ids.get(message_id) != content:
                return False
            self._ids.move_to_end(message_id)
            return True
