"""DynamoDB loses answers, refuses writes for a while, and still holds records that have expired."""

from checks.delivery import all_completed, dlq_holds, queue_empty
from checks.external_effects import faults_met
from checks.heartbeat import receives
from harness.scenario import (
    Address,
    Consume,
    Given,
    LeaveExpiredRecords,
    Scenario,
    Service,
    Settings,
    Visibilities,
)

LOST: Settings = {
    "AWS_ENDPOINT_URL_DYNAMODB": Address("dynamodb", "/lost-answers"),
    "VISIBILITY_TIMEOUT_SECONDS": Visibilities(5),
}
PLAIN, TRANSACTIONS, STATEMENTS = (
    Address("dynamodb", f"/throttled/{mode}") for mode in ("plain", "transactions", "statements")
)

# The throttling of an arm begins with its first claim and outlasts two visibility timeouts of a
# local run. A consumer that does not keep its messages hidden uses up both receives.
SCENARIO = Scenario(
    name="dynamodb-faults",
    proves="when DynamoDB loses answers, throttles every write for longer than the visibility "
    "timeout, or still holds expired records, no message is lost and each takes effect once",
    runs_on="crash",
    services=[Service("dynamodb", "faulty_dynamodb", calls_aws=True)],
    given=Given(messages=10),
    arms={
        "answers lost": LOST,
        "answers lost, transactions": {**LOST, "USE_TRANSACTIONAL_WRITES": 1},
        "answers lost, statements": {**LOST, "USE_PARTIQL_STATEMENTS": 1},
        "throttled": {"AWS_ENDPOINT_URL_DYNAMODB": PLAIN},
        "throttled, transactions": {
            "AWS_ENDPOINT_URL_DYNAMODB": TRANSACTIONS,
            "USE_TRANSACTIONAL_WRITES": 1,
        },
        "throttled, statements": {
            "AWS_ENDPOINT_URL_DYNAMODB": STATEMENTS,
            "USE_PARTIQL_STATEMENTS": 1,
        },
        "expired records": {},
    },
    when=[LeaveExpiredRecords("expired records"), Consume(MAX_MESSAGES=10, COMMIT_BATCH=10)],
    then=[
        all_completed(),
        queue_empty(),
        dlq_holds(0),
        # A lost answer costs no receive: the consumer finds out that the write was its own.
        receives(
            **{"answers lost": 1, "answers lost, transactions": 1, "answers lost, statements": 1}
        ),
        faults_met(
            answer_lost=("TransactWriteItems", "BatchExecuteStatement"),
            throttled=("TransactWriteItems", "BatchExecuteStatement"),
        ),
    ],
    slow=True,
)
