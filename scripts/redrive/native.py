"""StartMessageMoveTask: AWS moves everything by itself; here it is started, followed, cancelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from redrive.exits import AWS_ERRORS, RedriveError, code_of, reason_of

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

LOOKS = 15  # at the list before a task that is not in it is given up
UNKNOWN_CALL = ("InvalidAction", "UnknownOperation", "NotImplemented", "MissingAction")


class State(StrEnum):
    """The states of a task, as AWS names them."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"

    @property
    def is_over(self) -> bool:
        return self not in (State.RUNNING, State.CANCELLING)


@dataclass(frozen=True)
class Progress:
    """`moved` and `to_move` are approximate; `reason` is set where it failed.

    `began` tells tasks apart: a handle is only listed while its task runs.
    """

    state: State
    moved: int
    to_move: int
    reason: str = ""
    handle: str = ""
    began: int = 0


class Task:
    """The newest move task of a DLQ: one that runs already is followed, else one is started."""

    def __init__(self, sqs: SQSClient, dlq_arn: str, rate: int) -> None:
        """`rate`: messages a second, 0 leaves it to AWS. Raises RedriveError, AWS errors."""
        self._sqs, self._dlq_arn = sqs, dlq_arn
        found = self.progress()
        self.found_running = bool(found and not found.state.is_over)
        self._older = found.began if found and not self.found_running else None
        self._handle = found.handle if found and self.found_running else self._start(rate)

    def _start(self, rate: int) -> str:
        wanted: dict[str, Any] = {"MaxNumberOfMessagesPerSecond": rate} if rate else {}
        # Without a destination each message goes back to the queue that it came from.
        return self._sqs.start_message_move_task(SourceArn=self._dlq_arn, **wanted)["TaskHandle"]

    def progress(self) -> Progress | None:
        """How far it is; None where there never was a task."""
        try:
            answer = self._sqs.list_message_move_tasks(SourceArn=self._dlq_arn, MaxResults=1)
        except AWS_ERRORS as error:
            if any(part in code_of(error) for part in UNKNOWN_CALL):
                raise RedriveError(
                    f"{reason_of(error)} AWS has StartMessageMoveTask, this endpoint has not;"
                    " without --native it is not needed"
                ) from error
            raise
        for row in answer.get("Results", []):
            return Progress(
                State(row["Status"]),
                row.get("ApproximateNumberOfMessagesMoved", 0),
                row.get("ApproximateNumberOfMessagesToMove", 0),
                row.get("FailureReason", ""),
                row.get("TaskHandle", ""),
                row.get("StartedTimestamp", 0),
            )
        return None

    def cancel(self) -> int | None:
        """Stop it; what is moved stays moved. About how many were; None where it had ended."""
        try:
            answer = self._sqs.cancel_message_move_task(TaskHandle=self._handle)
        except AWS_ERRORS as error:
            if code_of(error) in ("ResourceNotFoundException", "UnsupportedOperation"):
                return None  # it ended a moment before
            raise
        return answer["ApproximateNumberOfMessagesMoved"]

    def follow(self, stopped: Callable[[], bool], sleep: Callable[[], None]) -> Progress:
        """Until it is over; a stop cancels it and waits until that is done."""
        cancelled, unlisted = False, 0
        while True:
            if stopped() and not cancelled:
                self.cancel()
                cancelled = True
            found = self.progress()
            if found is None or found.began == self._older:  # not yet in the list
                unlisted += 1
                if unlisted > LOOKS:
                    raise RedriveError(f"{self._dlq_arn}: its move task is not to be seen")
            elif found.state.is_over:
                return found
            sleep()
