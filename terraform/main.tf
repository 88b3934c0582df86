# ---------------------------------------------------------------------------------------------
# Main: for each set a queue, its dead-letter queue and two tables. Nothing here compares a
# set's name: what differs between sets is a field of var.sets.
#
# Costs: queues and tables cost nothing while idle; requests are billed one by one, stored table
# data and its point-in-time recovery by the GB-month. A scenario run costs well below a cent.
# ---------------------------------------------------------------------------------------------

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  # ARNs are put together, not read from the resources: a plan then shows every policy in full,
  # and a queue and its DLQ can each name the other.
  arn_base = "arn:${data.aws_partition.current.partition}:sqs:${var.aws_region}:${data.aws_caller_identity.current.account_id}"

  queue_names = { for set in keys(var.sets) : set => "${var.project_name}-${set}-queue" }
  queue_arns  = { for set, name in local.queue_names : set => "${local.arn_base}:${name}" }
  dlq_arns    = { for set, arn in local.queue_arns : set => "${arn}-dlq" }

  # table: its set
  tables = {
    for pair in setproduct(keys(var.sets), ["message-status", "message-completed"]) :
    "${pair[0]}-${pair[1]}" => pair[0]
  }
}

resource "aws_sqs_queue" "queue" {
  for_each = local.sets

  name                       = local.queue_names[each.key]
  visibility_timeout_seconds = var.queue_visibility_timeout
  receive_wait_time_seconds  = var.queue_receive_wait
  message_retention_seconds  = each.value.message_retention_seconds
  sqs_managed_sse_enabled    = true # free; a KMS key of one's own costs money per request
  policy                     = local.tls_only[local.queue_arns[each.key]]

  redrive_policy = jsonencode({
    deadLetterTargetArn = local.dlq_arns[each.key]
    maxReceiveCount     = each.value.max_receive_count
  })

  tags = { Set = each.key }

  depends_on = [aws_sqs_queue.dlq] # SQS refuses a redrive policy whose target is not there yet
}

resource "aws_sqs_queue" "dlq" {
  for_each = local.sets

  name                       = "${local.queue_names[each.key]}-dlq"
  visibility_timeout_seconds = var.queue_visibility_timeout
  message_retention_seconds  = each.value.dlq_message_retention_seconds
  sqs_managed_sse_enabled    = true
  policy                     = local.tls_only[local.dlq_arns[each.key]]

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [local.queue_arns[each.key]]
  })

  tags = { Set = each.key }

  lifecycle {
    precondition {
      condition     = each.value.dlq_message_retention_seconds > each.value.message_retention_seconds
      error_message = "Set ${each.key}: dlq_message_retention_seconds = ${each.value.dlq_message_retention_seconds} must be longer than message_retention_seconds = ${each.value.message_retention_seconds}: the DLQ counts from the first enqueue, so an equal time loses messages as they arrive there."
    }
  }
}

resource "aws_dynamodb_table" "tracking" {
  for_each = local.tables

  #checkov:skip=CKV_AWS_119:encrypted with a key that AWS owns, which is free; a customer key costs money per request and the rows hold no secrets
  name         = "${var.project_name}-${each.key}"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "message_id"

  # A demo must be easy to remove: `make infra-down` deletes the tables with their rows.
  deletion_protection_enabled = false

  attribute {
    name = "message_id"
    type = "S"
  }

  # The consumer writes expires_at far enough ahead to outlive source and DLQ retention and a redrive.
  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  # Costs money: about $0.20 per GB-month, so next to nothing for rows of a demo.
  point_in_time_recovery {
    enabled = true
  }

  tags = { Set = each.value }
}
