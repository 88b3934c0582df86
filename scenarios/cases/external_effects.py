"""The effect is a call to a payment service, which cannot join the transaction."""

from checks.delivery import all_completed, dlq_holds, queue_empty
from checks.external_effects import charges_per_order
from harness.scenario import (
    CRASHED,
    Address,
    AwaitDelivery,
    Consume,
    Each,
    Given,
    Scenario,
    Service,
)

TRANSACTIONS = {"USE_TRANSACTIONAL_WRITES": 1}
POINTS = Each("before-charge", "after-charge", "after-complete")

# For each way five orders: three whose consumer crashes, one whose charge is late while its message
# is delivered again, and one that meets nothing. Only `outbox` needs the transaction. The service
# of the consumer that finishes its orders turns each first call away: the relay has to ask again.
SCENARIO = Scenario(
    name="external-effects",
    proves="of four ways to charge an order, only an idempotency key and an outbox charge it once, "
    "wherever the consumer crashes and however late the service answers",
    runs_on="dup",
    services=[Service("payments", "shop")],
    given=Given(messages=5),
    arms={
        way: {"EFFECT_MODE": way, "EFFECT_URL": Address("payments", path), **TRANSACTIONS}
        for way, path in (("naive", ""), ("check", ""), ("key", ""), ("outbox", "/unsteady"))
    },
    when=[
        Consume(
            before_sending=True,
            stays=True,
            EFFECT_URL=Address("payments", "/late"),
            EFFECT_TIMEOUT_SECONDS=25,
            MESSAGE_LIMIT=1,
            VISIBILITY_TIMEOUT_SECONDS=1,
        ),
        Consume(
            before_sending=True,
            exits=CRASHED,
            EFFECT_URL=Address("payments"),
            CRASH_AT=POINTS,
            MESSAGE_LIMIT=1,
            VISIBILITY_TIMEOUT_SECONDS=1,
        ),
        Consume(stays=True, VISIBILITY_TIMEOUT_SECONDS=20),
        AwaitDelivery("outbox"),
    ],
    then=[
        all_completed(),
        queue_empty(),
        dlq_holds(0),
        # no crash, before the call, after the call, after the record, two at once
        charges_per_order(
            naive=(1, 1, 2, 1, 2),
            check=(1, 1, 1, 1, 2),
            key=(1, 1, 1, 1, 1),
            outbox=(1, 1, 1, 1, 1),
        ),
    ],
    slow=True,
)
