"""StartMessageMoveTask as the botocore model has it: no emulator here knows the call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from redrive.exits import RedriveError
from redrive.native import LOOKS, Progress, State, Task

ARN = "arn:aws:sqs:us-west-1:123456789012:q-dlq"
Stub = tuple[Any, Stubber]


@pytest.fixture
def stub() -> Iterator[Stub]:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    client = boto3.client("sqs", region_name="us-west-1", **keys)
    with Stubber(client) as stubber:
        yield client, stubber
        stubber.assert_no_pending_responses()


def listed(stubber: Stubber, *rows: dict[str, Any]) -> None:
    asked = {"SourceArn": ARN, "MaxResults": 1}
    stubber.add_response("list_message_move_tasks", {"Results": list(rows)}, asked)


def row(state: State, moved: int = 0, **more: Any) -> dict[str, Any]:
    numbers = {"ApproximateNumberOfMessagesMoved": moved, "ApproximateNumberOfMessagesToMove": 9}
    return {"Status": str(state), "StartedTimestamp": 2, **numbers, **more}


def started(stubber: Stubber, **asked: Any) -> None:
    stubber.add_response(
        "start_message_move_task", {"TaskHandle": "task"}, {"SourceArn": ARN, **asked}
    )


def stops_after(looks: int) -> Callable[[], bool]:
    seen = iter([False] * looks)
    return lambda: next(seen, True)


def test_a_task_is_started_and_followed_to_its_end(stub: Stub) -> None:
    client, stubber = stub
    listed(stubber, row(State.COMPLETED, 3, StartedTimestamp=1))  # an older one
    started(stubber, MaxNumberOfMessagesPerSecond=7)
    task = Task(client, ARN, 7)
    listed(stubber, row(State.COMPLETED, 3, StartedTimestamp=1))  # the list is late
    listed(stubber, row(State.RUNNING, 1))
    listed(stubber, row(State.COMPLETED, 9))
    slept: list[None] = []
    found = task.follow(lambda: False, lambda: slept.append(None))
    assert found == Progress(State.COMPLETED, 9, 9, began=2)
    assert len(slept) == 2
    assert not task.found_running


def test_the_rate_is_left_to_aws_where_none_is_asked_for(stub: Stub) -> None:
    client, stubber = stub
    listed(stubber)
    started(stubber)
    Task(client, ARN, 0)


def test_one_that_runs_already_is_followed(stub: Stub) -> None:
    """A first run was killed: AWS goes on, and a second task is refused there."""
    client, stubber = stub
    listed(stubber, row(State.RUNNING, 4, TaskHandle="running"))
    task = Task(client, ARN, 0)
    assert task.found_running
    listed(stubber, row(State.COMPLETED, 9))
    assert task.follow(lambda: False, lambda: None).moved == 9


def test_a_stop_cancels_once_and_waits_for_the_end(stub: Stub) -> None:
    client, stubber = stub
    listed(stubber)
    started(stubber)
    task = Task(client, ARN, 0)
    listed(stubber, row(State.RUNNING, 1))
    stubber.add_response(
        "cancel_message_move_task", {"ApproximateNumberOfMessagesMoved": 2}, {"TaskHandle": "task"}
    )
    listed(stubber, row(State.CANCELLING, 2))
    listed(stubber, row(State.CANCELLED, 3))
    assert task.follow(stops_after(1), lambda: None) == Progress(State.CANCELLED, 3, 9, began=2)


def test_a_stop_that_comes_when_it_has_just_ended(stub: Stub) -> None:
    client, stubber = stub
    listed(stubber)
    started(stubber)
    task = Task(client, ARN, 0)
    stubber.add_client_error("cancel_message_move_task", "ResourceNotFoundException", "", 400)
    listed(stubber, row(State.COMPLETED, 9))
    assert task.follow(stops_after(0), lambda: None).state is State.COMPLETED


def test_a_task_that_never_shows_is_given_up(stub: Stub) -> None:
    client, stubber = stub
    listed(stubber)
    started(stubber)
    task = Task(client, ARN, 0)
    for _ in range(LOOKS + 1):
        listed(stubber)
    with pytest.raises(RedriveError, match="not to be seen"):
        task.follow(lambda: False, lambda: None)


def test_a_task_that_fails_says_why(stub: Stub) -> None:
    client, stubber = stub
    listed(stubber)
    started(stubber)
    task = Task(client, ARN, 0)
    listed(stubber, row(State.FAILED, 2, FailureReason="AccessDenied on the destination"))
    found = task.follow(lambda: False, lambda: None)
    assert (found.state, found.reason) == (State.FAILED, "AccessDenied on the destination")


@pytest.mark.parametrize("code", ["InvalidAction", "UnknownOperationException"])
def test_a_service_that_does_not_know_it_is_told_of(stub: Stub, code: str) -> None:
    client, stubber = stub
    stubber.add_client_error("list_message_move_tasks", code, "not valid here", 400)
    with pytest.raises(RedriveError, match="this endpoint has not"):
        Task(client, ARN, 0)
