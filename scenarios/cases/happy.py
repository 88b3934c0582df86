"""Nothing goes wrong."""

from checks.delivery import all_completed, dlq_holds, queue_empty
from harness.scenario import Consume, Given, Scenario

SCENARIO = Scenario(
    name="happy",
    proves="every message is completed once, and the queue and the DLQ are empty at the end",
    runs_on="happy",
    given=Given(messages=20),
    when=[Consume(MAX_MESSAGES=10)],
    then=[all_completed(), queue_empty(), dlq_holds(0)],
)
