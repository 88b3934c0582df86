"""Work takes three and six times as long as the visibility timeout."""

from checks.delivery import all_completed, dlq_holds, queue_empty, redelivered_after_visibility
from checks.heartbeat import extended_to_the_limit, late_finish_without_effect, receives
from harness.scenario import ALL_MESSAGES, AwaitWork, Consume, Given, Scenario, Visibilities

BEAT = {"HEARTBEAT_SECONDS": Visibilities(0.25)}

# The holder takes every message before the heir is there. One that hangs is told from one that is
# slow by the limit alone: here it is a visibility timeout, and the work six, so that the heir has
# the message well before its holder ends, also where everything is slow.
SCENARIO = Scenario(
    name="heartbeat",
    proves="with a heartbeat, long work is delivered once; the heartbeat limit returns messages "
    "of a consumer that hangs, and its late completion has no effect",
    runs_on="happy",
    given=Given(messages=4),
    arms={
        "off": {"LONG_SLEEP_SECONDS": Visibilities(3)},
        "on": {**BEAT, "LONG_SLEEP_SECONDS": Visibilities(3)},
        "hangs": {
            **BEAT,
            "HEARTBEAT_LIMIT_SECONDS": Visibilities(1),
            "LONG_SLEEP_SECONDS": Visibilities(6),
        },
    },
    when=[
        Consume(
            stays=True,
            CONCURRENCY=ALL_MESSAGES,
            MESSAGE_LIMIT=ALL_MESSAGES,
            LONG_SLEEP_EVERY=1,
        ),
        AwaitWork(messages=ALL_MESSAGES),
        Consume(LONG_SLEEP_SECONDS=0),
    ],
    then=[
        all_completed(),
        queue_empty(),
        dlq_holds(0),
        receives(off=2, on=1, hangs=2),
        redelivered_after_visibility(at_least=2),
        extended_to_the_limit("hangs"),
        late_finish_without_effect(("off", "hangs")),
    ],
    slow=True,
)
