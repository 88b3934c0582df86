"""A producer that does not stop sends more than one consumer can take."""

from checks.delivery import all_completed, backlog_came_down, dlq_holds, queue_empty, scaled_out
from harness.scenario import Given, KeepUp, Scenario

SCENARIO = Scenario(
    name="backpressure",
    proves="scaling on backlog per consumer absorbs a burst and drains it, and no message is lost "
    "while consumers are added and removed",
    runs_on="backpressure",
    given=Given(messages=0, batch_size=5),
    when=[KeepUp(rate=8, work_seconds=0.5, target_latency=4, max_consumers=8)],
    then=[
        scaled_out(at_least=2),
        backlog_came_down(),
        all_completed(),
        queue_empty(),
        dlq_holds(0),
    ],
    slow=True,
)
