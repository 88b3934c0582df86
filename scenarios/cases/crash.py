"""A consumer dies with a message in hand."""

from checks.delivery import (
    all_completed,
    dlq_holds,
    finished_by_another,
    queue_empty,
    redelivered_after_visibility,
)
from harness.scenario import CRASHED, AwaitRedelivery, Consume, Given, Scenario

SCENARIO = Scenario(
    name="crash",
    proves="a message whose consumer dies after the work and before the delete is redelivered "
    "once, with no duplicate effect",
    runs_on="crash",
    given=Given(messages=1),
    when=[Consume(CRASH_AFTER_RECEIVE=1, exits=CRASHED), AwaitRedelivery(), Consume()],
    then=[
        all_completed(),
        queue_empty(),
        dlq_holds(0),
        redelivered_after_visibility(at_least=1),
        finished_by_another(),
    ],
)
