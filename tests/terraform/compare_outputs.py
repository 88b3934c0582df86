"""Compares Terraform's outputs after an apply with what the local stack's provisioner answers."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from local_aws import provision

POLICIES = {"producer_policy", "consumer_policy", "runner_policy", "redrive_policy"}

applied = json.loads(Path(sys.argv[1]).read_text())
provisioned = provision(os.environ["AWS_ENDPOINT_URL"])
assert applied.keys() - POLICIES == provisioned.keys(), applied.keys() ^ provisioned.keys()
for name, output in provisioned.items():
    assert applied[name] == output, f"output {name}: {applied[name]} is not {output}"
