"""What the local stack's provisioner creates is what the plan says, attribute by attribute.

Every attribute that either side knows is compared, not a chosen few: one that only one side has is
a difference too.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from local_aws import Stack, provision
from local_stack.provision import local_session
from support.queues import REGION
from validation.live import read_queue, read_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

pytestmark = pytest.mark.integration
World = dict[str, dict[str, Any]]  # resource name: attribute name: value

# Not attributes of the thing itself: how Terraform handles it, and tags that tags_all holds too.
OF_TERRAFORM = {
    "tags",
    "timeouts",
    "import_table",
    "restore_date_time",
    "restore_source_name",
    "restore_source_table_arn",
    "restore_to_latest_time",
}
DOCUMENTS = {"policy", "redrive_policy", "redrive_allow_policy"}


def planned_world(plan: dict[str, Any]) -> World:
    """Queues and tables of the plan by name; documents as data."""
    world: World = {}
    for resource in plan["planned_values"]["root_module"]["resources"]:
        if resource["type"] in ("aws_sqs_queue", "aws_dynamodb_table"):
            values = {k: v for k, v in resource["values"].items() if k not in OF_TERRAFORM}
            for name in DOCUMENTS & values.keys():
                values[name] = values[name] and json.loads(values[name])
            world[values["name"]] = values
    return world


@dataclass(frozen=True)
class Local:
    """The provisioned stack, and clients to change it."""

    outputs: dict[str, Any]
    sqs: SQSClient
    dynamodb: DynamoDBClient

    def world(self) -> World:
        urls = self.sqs.list_queues(QueueNamePrefix="sqs-demo-")["QueueUrls"]
        tables = self.dynamodb.list_tables()["TableNames"]
        live = [read_queue(self.sqs, url) for url in urls]
        live += [read_table(self.dynamodb, name) for name in tables if name.startswith("sqs-demo-")]
        return {one["name"]: one for one in live if one}


@pytest.fixture(scope="module")
def local(stack: Stack) -> Local:
    session = local_session(REGION)
    return Local(
        provision(stack.endpoint),
        session.client("sqs", endpoint_url=stack.endpoint),
        session.client("dynamodb", endpoint_url=stack.endpoint),
    )


def differences(planned: World, live: World) -> Iterator[str]:
    """``resource.attribute`` for each that is not the same on both sides."""
    for name in sorted(planned.keys() | live.keys()):
        ours, theirs = planned.get(name), live.get(name)
        if ours is None or theirs is None:
            yield name
            continue
        for attribute in sorted(ours.keys() | theirs.keys()):
            # null, 0, "", [] and false are the same: not set
            if (ours.get(attribute) or None) != (theirs.get(attribute) or None):
                yield f"{name}.{attribute}"


@pytest.mark.smoke
def test_the_same_resources_with_the_same_attributes(planned: dict[str, Any], local: Local) -> None:
    world = planned_world(planned)
    assert len(world) == 20
    assert list(differences(world, local.world())) == []


def test_the_same_outputs(planned: dict[str, Any], local: Local) -> None:
    outputs = planned["planned_values"]["outputs"]
    assert outputs["settings"] == local.outputs["settings"]
    assert outputs["aws_region"] == local.outputs["aws_region"]
    shape = {name: set(value) for name, value in local.outputs["scenarios"]["value"].items()}
    # Some values are known after apply only; the end-to-end run compares those.
    changes = planned["output_changes"]["scenarios"]
    known, unknown = changes["after"], changes["after_unknown"]
    assert {name: set(known[name]) | set(unknown[name]) for name in known} == shape
    for name, values in known.items():
        assert values.items() <= local.outputs["scenarios"]["value"][name].items()


def changed(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, dict):
        first = next(iter(value))
        return {**value, first: changed(value[first])}
    if isinstance(value, list) and value:
        return [changed(value[0]), *value[1:]]
    return "something"


def test_each_planned_attribute_alone_makes_a_difference(
    planned: dict[str, Any], local: Local
) -> None:
    world, live = planned_world(planned), local.world()
    tried = 0
    for name in [name for name in world if name.startswith("sqs-demo-happy-")]:
        for attribute in world[name]:
            other = copy.deepcopy(world)
            other[name][attribute] = changed(world[name][attribute])
            assert list(differences(other, live)) == [f"{name}.{attribute}"]
            tried += 1
    assert tried > 50


HAPPY = "sqs-demo-happy-queue"
STATUS = "sqs-demo-happy-message-status"
Undo = Callable[[], Any]


def queue_attribute(name: QueueAttributeNameType, value: str) -> Callable[[Local], Undo]:
    def change(local: Local) -> Undo:
        url = local.outputs["queue_url"]["value"]

        def put(text: str) -> None:
            local.sqs.set_queue_attributes(QueueUrl=url, Attributes={name: text})

        answer = local.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        put(value)
        return lambda: put(answer["Attributes"][name])

    return change


def queue_tag(local: Local) -> Undo:
    url = local.outputs["queue_url"]["value"]
    local.sqs.tag_queue(QueueUrl=url, Tags={"Extra": "1"})
    return lambda: local.sqs.untag_queue(QueueUrl=url, TagKeys=["Extra"])


def recovery(local: Local) -> Undo:
    def switch(*, on: bool) -> None:
        specification = {"PointInTimeRecoveryEnabled": on}
        local.dynamodb.update_continuous_backups(
            TableName=STATUS,
            PointInTimeRecoverySpecification=specification,  # type: ignore[arg-type]
        )

    switch(on=False)
    return lambda: switch(on=True)


def protection(local: Local) -> Undo:
    local.dynamodb.update_table(TableName=STATUS, DeletionProtectionEnabled=True)
    return lambda: local.dynamodb.update_table(TableName=STATUS, DeletionProtectionEnabled=False)


def extra_queue(local: Local) -> Undo:
    url = local.sqs.create_queue(QueueName="sqs-demo-extra")["QueueUrl"]
    return lambda: local.sqs.delete_queue(QueueUrl=url)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (queue_attribute("VisibilityTimeout", "11"), f"{HAPPY}.visibility_timeout_seconds"),
        (queue_attribute("DelaySeconds", "1"), f"{HAPPY}.delay_seconds"),
        (queue_attribute("MaximumMessageSize", "1048576"), f"{HAPPY}.max_message_size"),
        (queue_attribute("SqsManagedSseEnabled", "false"), f"{HAPPY}.sqs_managed_sse_enabled"),
        (queue_tag, f"{HAPPY}.tags_all"),
        (recovery, f"{STATUS}.point_in_time_recovery"),
        (protection, f"{STATUS}.deletion_protection_enabled"),
        (extra_queue, "sqs-demo-extra"),
    ],
)
def test_each_live_attribute_alone_makes_a_difference(
    planned: dict[str, Any],
    local: Local,
    change: Callable[[Local], Undo],
    difference: str,
) -> None:
    undo = change(local)
    try:
        assert list(differences(planned_world(planned), local.world())) == [difference]
    finally:
        undo()
    assert list(differences(planned_world(planned), local.world())) == []
