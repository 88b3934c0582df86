"""A consumer is told to stop, or is killed, in the middle of its work."""

from checks.delivery import all_completed, dlq_holds, queue_empty
from checks.shutdown import given_back_at_once, hidden_until_it_ran_out, sooner
from harness.scenario import AwaitWork, Consume, Given, Scenario, Visibilities

# Three lanes have a batch each, one message in work and the others behind it; the fourth waits in a
# long poll. The heartbeat lets the batches be longer than the visibility timeout. A poll shorter
# than that ends before anything comes back: a dead consumer's might still take it. The heir has the
# last receive of what it gets, so it has time even where everything is slow.
SCENARIO = Scenario(
    name="graceful-shutdown",
    proves="a consumer that receives SIGTERM finishes its work and releases its other messages at "
    "once; the messages of a killed consumer stay hidden until the visibility timeout expires",
    runs_on="crash",
    given=Given(messages=24),
    arms={"stopped": {}, "killed": {}},
    when=[
        Consume(
            stays=True,
            CONCURRENCY=4,
            MAX_MESSAGES=8,
            SLEEP_MIN_SECONDS=0.8,
            SLEEP_MAX_SECONDS=0.8,
            VISIBILITY_TIMEOUT_SECONDS=Visibilities(2),
            HEARTBEAT_SECONDS=Visibilities(0.5),
        ),
        AwaitWork(messages=3),
        Consume(
            interrupts={"stopped": "SIGTERM", "killed": "SIGKILL"},
            CONCURRENCY=4,
            MAX_MESSAGES=8,
            VISIBILITY_TIMEOUT_SECONDS=20,
        ),
    ],
    then=[
        all_completed(),
        queue_empty(),
        dlq_holds(0),
        given_back_at_once("stopped"),
        hidden_until_it_ran_out("killed"),
        sooner("stopped", "killed"),
    ],
    slow=True,
)
