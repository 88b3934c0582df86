"""A consumer is told to stop while it waits in a long poll, and messages arrive in that poll."""

from checks.delivery import all_completed, dlq_holds, queue_empty
from checks.shutdown import given_back_on_arrival
from harness.scenario import Consume, Given, Scenario

# The long poll must still be open when the producer has started, also on a slow machine.
SCENARIO = Scenario(
    name="stop-while-polling",
    proves="a consumer that is told to stop during a long poll gives back at once what the poll "
    "still brings, and another consumer completes it",
    runs_on="crash",
    given=Given(messages=10),
    when=[
        Consume(
            before_sending=True,
            stays=True,
            stopped_before_sending=True,
            WAIT_TIME_SECONDS=20,
            MAX_MESSAGES=10,
            VISIBILITY_TIMEOUT_SECONDS=60,
        ),
        Consume(MAX_MESSAGES=10),
    ],
    then=[all_completed(), queue_empty(), dlq_holds(0), given_back_on_arrival()],
    slow=True,
)
