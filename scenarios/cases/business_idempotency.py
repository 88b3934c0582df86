"""Two messages with ids of their own are about one action on one order."""

from checks.business_key import CHANGED, DUPLICATE, EFFECT, NO_KEY, ends_per_order
from checks.delivery import dlq_holds, queue_empty
from harness.scenario import Consume, Fresh, Given, Scenario

# The queue does nothing wrong here: it is the sender that says the same thing twice.
SCENARIO = Scenario(
    name="business-idempotency",
    proves="an order that is sent in two messages takes effect twice if messages are identified by "
    "id, and once with IDEMPOTENCY_KEY; a changed payload and a missing field end in the DLQ",
    runs_on="happy",
    given=Given(
        messages=5,
        fields=[
            {"order_id": Fresh("sent-twice"), "action": "charge", "work": 500},
            {"order_id": Fresh("sent-twice"), "action": "charge", "work": 500},
            {"order_id": Fresh("changed"), "action": "charge", "work": 500},
            {"order_id": Fresh("changed"), "action": "charge", "work": 900},
            {"order_id": Fresh("no-action"), "work": 500},
        ],
    ),
    arms={"by-id": {}, "by-key": {"IDEMPOTENCY_KEY": "[order_id, action]"}},
    when=[Consume(MAX_MESSAGES=10)],
    then=[
        queue_empty(),
        dlq_holds(2),
        ends_per_order(
            {
                "by-id": {
                    "sent-twice": [EFFECT, EFFECT],
                    "changed": [EFFECT, EFFECT],
                    "no-action": [EFFECT],
                },
                "by-key": {
                    "sent-twice": [EFFECT, DUPLICATE],
                    "changed": [EFFECT, CHANGED],
                    "no-action": [NO_KEY],
                },
            }
        ),
    ],
    slow=True,
)
