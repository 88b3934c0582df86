"""Work outlasts the visibility timeout, so both consumers get every message."""

from checks.delivery import (
    all_completed,
    deliveries,
    dlq_holds,
    queue_empty,
    worked_by,
)
from harness.scenario import ALL_MESSAGES, PAST_VISIBILITY, Consume, Given, Scenario

# Each consumer stops after as many messages as were sent, which makes two deliveries of each. A
# third would go to the DLQ instead (maxReceiveCount 2), though the message was completed. When the
# second one comes is not asked: SQS may deliver twice by itself (quirk 1), and one effect is left.
SCENARIO = Scenario(
    name="duplicates",
    proves="if two consumers do the work of the same message, it takes effect exactly once",
    runs_on="dup",
    given=Given(messages=3),
    when=[
        Consume(
            consumers=2,
            before_sending=True,
            CONCURRENCY=ALL_MESSAGES,
            MESSAGE_LIMIT=ALL_MESSAGES,
            LONG_SLEEP_SECONDS=PAST_VISIBILITY,
            LONG_SLEEP_EVERY=1,
        )
    ],
    then=[
        all_completed(),
        queue_empty(),
        dlq_holds(0),
        deliveries(at_least=2),
        worked_by(consumers=2),
    ],
)
