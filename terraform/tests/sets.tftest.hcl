# What the five sets are made of, with a provider that talks to nobody.
# Every run here only plans: an apply would run the provisioners of env.tf on the real .env.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

run "five_of_each" {
  command = plan

  assert {
    condition     = length(aws_sqs_queue.queue) == 5 && length(aws_sqs_queue.dlq) == 5
    error_message = "expected five queues and five DLQs"
  }
  assert {
    condition     = length(aws_dynamodb_table.tracking) == 10
    error_message = "expected two tables for each of five sets"
  }
  assert {
    condition     = toset(keys(output.scenarios)) == toset(["happy", "crash", "dup", "poison", "backpressure"])
    error_message = "output scenarios must have the five sets as keys"
  }
}

run "names" {
  command = plan
  variables { project_name = "acme" }

  assert {
    condition     = alltrue([for set, queue in aws_sqs_queue.queue : queue.name == "acme-${set}-queue"])
    error_message = "queue names must be <project_name>-<set>-queue"
  }
  assert {
    condition     = alltrue([for set, queue in aws_sqs_queue.dlq : queue.name == "acme-${set}-queue-dlq"])
    error_message = "DLQ names must be <project_name>-<set>-queue-dlq"
  }
  assert {
    condition = toset([for table in aws_dynamodb_table.tracking : table.name]) == toset(flatten([
      for set in keys(var.sets) : ["acme-${set}-message-status", "acme-${set}-message-completed"]
    ]))
    error_message = "table names must be <project_name>-<set>-message-status and -message-completed"
  }
}

run "queues" {
  command = plan
  variables {
    queue_visibility_timeout = 7
    queue_receive_wait       = 3
  }

  assert {
    condition     = alltrue([for queue in aws_sqs_queue.queue : queue.visibility_timeout_seconds == 7 && queue.receive_wait_time_seconds == 3])
    error_message = "queues must take visibility timeout and receive wait from the variables"
  }
  assert {
    condition     = alltrue([for queue in aws_sqs_queue.queue : queue.message_retention_seconds == 345600])
    error_message = "queues must keep messages for 4 days"
  }
  assert {
    condition     = alltrue([for queue in aws_sqs_queue.dlq : queue.message_retention_seconds == 1209600])
    error_message = "DLQs must keep messages for 14 days"
  }
  assert {
    condition     = alltrue([for queue in concat(values(aws_sqs_queue.queue), values(aws_sqs_queue.dlq)) : queue.sqs_managed_sse_enabled])
    error_message = "every queue must be encrypted at rest"
  }
  assert {
    condition     = alltrue([for queue in concat(values(aws_sqs_queue.queue), values(aws_sqs_queue.dlq)) : queue.fifo_queue != true])
    error_message = "every queue must be a standard queue"
  }
}

run "redrive" {
  command = plan
  variables {
    sets = { happy = {}, slow = { max_receive_count = 9 } }
  }

  assert {
    condition = jsondecode(aws_sqs_queue.queue["happy"].redrive_policy) == {
      deadLetterTargetArn = "arn:aws:sqs:us-west-1:123456789012:sqs-demo-happy-queue-dlq"
      maxReceiveCount     = 2
    }
    error_message = "a queue must redrive to its own DLQ after two receives"
  }
  assert {
    condition = jsondecode(aws_sqs_queue.queue["slow"].redrive_policy) == {
      deadLetterTargetArn = "arn:aws:sqs:us-west-1:123456789012:sqs-demo-slow-queue-dlq"
      maxReceiveCount     = 9
    }
    error_message = "a set's own DLQ and max_receive_count must reach its queue"
  }
  assert {
    condition = jsondecode(aws_sqs_queue.dlq["slow"].redrive_allow_policy) == {
      redrivePermission = "byQueue"
      sourceQueueArns   = ["arn:aws:sqs:us-west-1:123456789012:sqs-demo-slow-queue"]
    }
    error_message = "a DLQ must accept its own queue only"
  }
}

run "tables" {
  command = plan

  assert {
    condition     = alltrue([for table in aws_dynamodb_table.tracking : table.billing_mode == "PAY_PER_REQUEST" && table.hash_key == "message_id"])
    error_message = "tables must be on demand with hash key message_id"
  }
  assert {
    condition     = alltrue([for table in aws_dynamodb_table.tracking : one(table.attribute).name == "message_id" && one(table.attribute).type == "S"])
    error_message = "message_id must be a string"
  }
  assert {
    condition     = alltrue([for table in aws_dynamodb_table.tracking : one(table.ttl).enabled && one(table.ttl).attribute_name == "expires_at"])
    error_message = "rows must expire by expires_at"
  }
  assert {
    condition     = alltrue([for table in aws_dynamodb_table.tracking : one(table.point_in_time_recovery).enabled])
    error_message = "point-in-time recovery must be on"
  }
  assert {
    condition     = alltrue([for table in aws_dynamodb_table.tracking : !table.deletion_protection_enabled])
    error_message = "a demo must be removable"
  }
}

run "outputs_and_env" {
  command = plan
  variables { aws_region = "eu-central-1" }

  assert {
    condition     = output.aws_region == "eu-central-1"
    error_message = "output aws_region must be the variable"
  }
  assert {
    condition     = alltrue([for set, names in output.scenarios : names.message_status_table == "sqs-demo-${set}-message-status" && names.message_completed_table == "sqs-demo-${set}-message-completed"])
    error_message = "output scenarios must name each set's own tables"
  }
  assert {
    condition     = alltrue([for names in output.scenarios : toset(keys(names)) == toset(["queue_url", "dlq_arn", "message_status_table", "message_completed_table"])])
    error_message = "each value of output scenarios must have the four names"
  }
  assert {
    condition     = toset(keys(local.env_values)) == toset(["QUEUE_URL", "DLQ_ARN", "AWS_REGION", "MESSAGE_STATUS_TABLE", "MESSAGE_COMPLETED_TABLE"])
    error_message = ".env must have the five names"
  }
}
