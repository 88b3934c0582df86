"""Three steps on services outside, of which the third is refused for some orders."""

from checks.delivery import all_completed, dlq_holds, queue_empty
from checks.external_effects import crashed_at_each, sagas_whole
from harness.scenario import CRASHED, Address, Consume, Each, Given, Scenario, Service

POINTS = (
    *("before-reserve", "after-reserve", "before-charge", "after-charge"),
    *("before-ship", "after-ship", "before-cancel", "after-cancel"),
    *("before-refund", "after-refund", "before-release", "after-release"),
    *("before-complete", "after-complete"),
)

SHOP = Address("shop")

# A message that was received twice goes to the DLQ, so no order may meet two crashes.
SCENARIO = Scenario(
    name="saga",
    proves="an order whose third step is refused is undone step by step, and wherever a consumer "
    "dies, each order ends either charged and shipped or refunded and cancelled",
    runs_on="crash",
    services=[Service("shop", "shop", ("--refuse-ship-every", "4"))],
    given=Given(messages=200),
    when=[
        Consume(
            before_sending=True,
            exits=CRASHED,
            CRASH_AT=Each(*POINTS),
            CRASH_MAX_RECEIVES=1,
            EFFECT_MODE="saga",
            EFFECT_URL=SHOP,
        ),
        Consume(
            consumers=2,
            CONCURRENCY=8,
            VISIBILITY_TIMEOUT_SECONDS=20,
            EFFECT_MODE="saga",
            EFFECT_URL=SHOP,
        ),
    ],
    then=[
        all_completed(),
        queue_empty(),
        dlq_holds(0),
        crashed_at_each(POINTS),
        sagas_whole(),
    ],
    slow=True,
)
