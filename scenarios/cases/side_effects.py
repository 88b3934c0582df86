"""A consumer dies after the effect, before the delete, once for every message."""

from checks.delivery import (
    all_completed,
    crashed_after_effect,
    dlq_holds,
    finished_by_another,
    queue_empty,
)
from harness.scenario import CRASHED, Consume, Given, Scenario

SCENARIO = Scenario(
    name="side-effects",
    proves="if a consumer dies between its transaction and the delete, the redelivery finds the "
    "message completed: it takes effect exactly once",
    runs_on="dup",
    given=Given(messages=4),
    when=[
        Consume(
            exits=CRASHED,
            restarts=True,
            USE_TRANSACTIONAL_WRITES=1,
            CRASH_AFTER_SIDE_EFFECT=1,
        )
    ],
    then=[
        all_completed(),
        queue_empty(),
        dlq_holds(0),
        crashed_after_effect(),
        finished_by_another(),
    ],
)
