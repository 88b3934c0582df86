"""Makes one call to AWS and decides whether what came back is an answer at all.

A refusal (ClientError) is an answer: what it means is for the caller to decide. Everything else
that goes wrong, and every success that lacks its proof, leaves open whether the call had its
effect. It raises `Down`, and the caller fails closed.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore import exceptions as sdk
from botocore.exceptions import BotoCoreError, ClientError

from .access import shown
from .ports import Down

THROTTLED = frozenset(
    {
        "LimitExceededException",
        "OverLimit",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
    }
)
"""Codes of SQS and DynamoDB, of a call or of one item in it, that say: too fast (quirk 17)."""
_SERVER_ERROR = 500
_READS = 6
_FIRST_PAUSE = 0.05


def call(
    method: Callable[..., Any],
    request: Mapping[str, Any],
    proof: Callable[[Any], bool],
    down: type[Down],
) -> Any:
    """The answer of a boto3 method to a request; `proof` says whether an answer has what was asked.

    Raises ClientError where AWS refuses, and `down` where there is no answer, or none with its
    proof: botocore turns a 200 that holds no JSON into an empty answer (quirk 18). Whatever the SDK
    raises counts, since a credential source may raise any error: a token file that is away during
    its rotation is a FileNotFoundError, a credential process that prints no JSON a ValueError.
    """
    try:
        answer = method(**request)
    except ClientError:
        raise
    except Exception as error:
        raise down_by(error, down) from error
    if not proof(answer):
        raise down("the answer lacks what was asked for, so it is not from AWS", passing=False)
    return answer


def rows(
    dynamodb: Any,
    table: str,
    keys: Sequence[str],
    down: type[Down],
    sleep: Callable[[float], object] = time.sleep,
) -> list[Any]:
    """Those rows of the table that exist, read consistently; in one call where all goes well.

    What DynamoDB leaves out, which it does when it is asked too fast, is asked for again after a
    pause. Raises `down`.
    """
    found: list[Any] = []
    wanted: Any = {
        table: {"Keys": [{"message_id": {"S": key}} for key in keys], "ConsistentRead": True}
    }
    for attempt in range(_READS):
        request = {"RequestItems": wanted, "ReturnConsumedCapacity": "TOTAL"}
        try:
            answer = call(dynamodb.batch_get_item, request, _has_responses, down)
        except ClientError as error:
            raise down_by(error, down) from error
        found += answer["Responses"].get(table, ())
        wanted = answer.get("UnprocessedKeys")
        if not wanted:
            return found
        sleep(random.uniform(0, _FIRST_PAUSE * 2**attempt))
    raise down(f"rows of {table} are still left out after {_READS} reads", throttled=True)


def _has_responses(answer: Any) -> bool:
    """The proof of a read; MiniStack does not say what capacity a read consumed."""
    return isinstance(answer.get("Responses"), dict)


def down_by(error: Exception, down: type[Down]) -> Down:
    """The same trouble as a `down`, with its kind where the text alone would not tell."""
    text = shown(str(error))
    reason = (
        text
        if isinstance(error, BotoCoreError | ClientError)
        else f"{type(error).__name__}: {text}"
    )
    return down(reason, passing=is_passing(error), throttled=is_throttling(error))


def is_passing(error: BaseException) -> bool:
    """Whether an error of a call may go away by itself, which a refused request does not."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return is_throttling(error) or status >= _SERVER_ERROR
    return isinstance(error, sdk.ConnectionError | sdk.HTTPClientError) and not isinstance(
        error, sdk.SSLError
    )


def is_throttling(error: BaseException) -> bool:
    """Whether AWS refused a call, or an item of a transaction, because it was asked too fast."""
    if not isinstance(error, ClientError):
        return False
    answer: Any = error.response
    items = [one for one in answer.get("CancellationReasons", ()) if one]
    return not THROTTLED.isdisjoint({one.get("Code") for one in (answer["Error"], *items)})


def has_capacity(answer: Any) -> bool:
    """The proof of a DynamoDB write: the consumed capacity that its request asked for."""
    return bool(answer.get("ConsumedCapacity"))
