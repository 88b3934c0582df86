"""Good and poison messages arrive in one batch."""

from checks.delivery import good_completed, neighbours_differ, poison_dead_lettered, queue_empty
from harness.scenario import Consume, Given, Scenario, Visibilities

# A batch takes several beats, so a heartbeat that extends what was rejected would show.
SCENARIO = Scenario(
    name="partial-batch",
    proves="the good messages of a batch are completed and deleted, while its poison messages are "
    "redelivered and end in the DLQ",
    runs_on="poison",
    given=Given(messages=20, poison_every=4),
    when=[
        Consume(
            MAX_MESSAGES=10,
            REJECT_PAYLOAD_MARKER="poison",
            HEARTBEAT_SECONDS=Visibilities(0.1),
            SLEEP_MIN_SECONDS=0.1,
            SLEEP_MAX_SECONDS=0.1,
        )
    ],
    then=[good_completed(), neighbours_differ(), poison_dead_lettered(after=2), queue_empty()],
)
