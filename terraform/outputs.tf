# ---------------------------------------------------------------------------------------------
# Outputs: what scripts and scenarios read; .env is made from the same local.
# ---------------------------------------------------------------------------------------------

locals {
  scenarios = {
    for set in keys(var.sets) : set => {
      queue_url               = aws_sqs_queue.queue[set].url
      dlq_arn                 = aws_sqs_queue.dlq[set].arn
      message_status_table    = aws_dynamodb_table.tracking["${set}-message-status"].name
      message_completed_table = aws_dynamodb_table.tracking["${set}-message-completed"].name
    }
  }
}

output "queue_url" {
  description = "Queue of the happy set, for runs by hand."
  value       = local.scenarios["happy"].queue_url
}

output "aws_region" {
  description = "Region of everything."
  value       = var.aws_region
}

output "scenarios" {
  description = "Resource names of each set."
  value       = local.scenarios
}

output "settings" {
  description = "What each set should be; `make validate` compares it with what is there."
  value = {
    queue_visibility_timeout = var.queue_visibility_timeout
    queue_receive_wait       = var.queue_receive_wait
    sets                     = local.sets
  }
}

# The documents are no secrets: `sensitive` only keeps four long lines out of every apply.
# Read one with: terraform -chdir=terraform output -raw consumer_policy
output "producer_policy" {
  description = "Least-privilege IAM policy (JSON) of a producer."
  value       = local.policies.producer
  sensitive   = true
}

output "consumer_policy" {
  description = "Least-privilege IAM policy (JSON) of a consumer."
  value       = local.policies.consumer
  sensitive   = true
}

output "runner_policy" {
  description = "Least-privilege IAM policy (JSON) of the scenario runner, beside the other three."
  value       = local.policies.runner
  sensitive   = true
}

output "redrive_policy" {
  description = "Least-privilege IAM policy (JSON) of scripts/redrive.py."
  value       = local.policies.redrive
  sensitive   = true
}
