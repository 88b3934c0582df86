"""Some messages can never be processed."""

from checks.delivery import (
    good_completed,
    poison_dead_lettered,
    queue_empty,
    redelivered_after_visibility,
)
from harness.scenario import Consume, Given, Scenario

SCENARIO = Scenario(
    name="poison",
    proves="a message that is always rejected goes to the DLQ after two receives, is never "
    "completed, and does not block other messages",
    runs_on="poison",
    given=Given(messages=9, poison_every=3),
    when=[Consume(REJECT_PAYLOAD_MARKER="poison")],
    then=[
        good_completed(),
        redelivered_after_visibility(at_least=1),
        poison_dead_lettered(after=2),
        queue_empty(),
    ],
)
