"""Dead letters are moved back: some were never done, some were done and not deleted."""

from checks.delivery import all_completed, dlq_holds, queue_empty
from checks.redrive import ids_survive, moved_and_completed
from harness.scenario import (
    CRASHED,
    DONE_AND_USED_UP,
    AwaitRedelivery,
    Consume,
    Given,
    RunScript,
    Scenario,
)

# The first consumer completes what it holds and dies before the delete. The second one uses up the
# last receive of one of these messages at least, so that it ends in the DLQ though it is done.
SCENARIO = Scenario(
    name="redrive",
    proves="after a fix, a redrive moves every dead letter back and the consumer completes it; a "
    "message that was completed before is recognized by its id and takes effect only once",
    runs_on="poison",
    given=Given(messages=12, poison_every=3),
    when=[
        Consume(
            before_sending=True,
            exits=CRASHED,
            CRASH_AT="before-delete",
            REJECT_PAYLOAD_MARKER="poison",
            MAX_MESSAGES=3,
            COMMIT_BATCH=3,
            USE_TRANSACTIONAL_WRITES=1,
            VISIBILITY_TIMEOUT_SECONDS=1,
        ),
        AwaitRedelivery(),
        Consume(
            exits=CRASHED,
            restarts=DONE_AND_USED_UP,
            CRASH_AT="after-claim",
            MAX_MESSAGES=10,
            VISIBILITY_TIMEOUT_SECONDS=1,
        ),
        Consume(REJECT_PAYLOAD_MARKER="poison", MAX_MESSAGES=10),
        RunScript("redrive.py", "move"),
        Consume(MAX_MESSAGES=10),
    ],
    then=[
        all_completed(),
        queue_empty(),
        dlq_holds(0),
        moved_and_completed(),
        ids_survive(),
    ],
    slow=True,
)
