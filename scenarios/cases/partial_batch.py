"""Good and poison messages arrive in one batch."""

from harness.checks import good_completed, neighbours_differ, poison_dead_lettered, queue_empty
from harness.scenario import Consume, Given, Scenario

SCENARIO = Scenario(
    name="partial-batch",
    proves="in one batch the good messages are completed and deleted one by one, while the poison "
    "ones come back and end in the DLQ",
    runs_on="poison",
    given=Given(messages=20, poison_every=4),
    when=[Consume(MAX_MESSAGES=10, REJECT_PAYLOAD_MARKER="poison")],
    then=[good_completed(), neighbours_differ(), poison_dead_lettered(after=2), queue_empty()],
)
