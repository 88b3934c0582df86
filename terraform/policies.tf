# ---------------------------------------------------------------------------------------------
# Policies: the queue policy, and least-privilege documents for users to attach. They are plain
# data, so that a test can compare them with the calls of a real run
# (tests/terraform/test_least_privilege.py): none missing, none spare.
# ---------------------------------------------------------------------------------------------

locals {
  tls_only = {
    for arn in concat(values(local.queue_arns), values(local.dlq_arns)) : arn => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Sid       = "RefusePlainHttp"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }]
    })
  }

  all_queues    = values(local.queue_arns)
  all_dlqs      = values(local.dlq_arns)
  table_base    = "arn:${data.aws_partition.current.partition}:dynamodb:${var.aws_region}:${data.aws_caller_identity.current.account_id}:table"
  all_tables    = [for name in keys(local.tables) : "${local.table_base}/${var.project_name}-${name}"]
  status_tables = [for arn in local.all_tables : arn if endswith(arn, "-message-status")]

  statements = {
    producer = [
      { Sid = "Send", Resource = local.all_queues, Action = ["sqs:SendMessage"] },
    ]
    consumer = [
      {
        Sid      = "Work"
        Resource = local.all_queues
        Action = [
          "sqs:GetQueueAttributes",
          "sqs:ReceiveMessage",
          "sqs:DeleteMessage",
          "sqs:ChangeMessageVisibility",
        ]
      },
      {
        Sid      = "Track"
        Resource = local.all_tables
        # TransactWriteItems has no action of its own: each item counts as the write that it is.
        # The read is of an outbox's open intents and of the log of a saga (EFFECT_MODE).
        # The PartiQL actions are for USE_PARTIQL_STATEMENTS=1 alone.
        Action = [
          "dynamodb:PutItem",
          "dynamodb:UpdateItem",
          "dynamodb:BatchGetItem",
          "dynamodb:PartiQLInsert",
          "dynamodb:PartiQLUpdate",
        ]
      },
    ]
    # The runner starts producer and consumers, which use its credentials unless told otherwise:
    # attach all four where one user does everything. sts:GetCallerIdentity needs no permission.
    runner = [
      {
        Sid      = "WatchAndDrain"
        Resource = concat(local.all_queues, local.all_dlqs)
        Action = [
          "sqs:GetQueueUrl",
          "sqs:GetQueueAttributes",
          "sqs:ReceiveMessage",
          "sqs:DeleteMessage",
          "sqs:ChangeMessageVisibility",
        ]
      },
      # The scenario dynamodb-faults puts expired records.
      {
        Sid      = "Judge"
        Resource = local.all_tables
        Action   = ["dynamodb:BatchGetItem", "dynamodb:PutItem"]
      },
    ]
    # For scripts/redrive.py; without `move` it neither sends nor deletes. --native needs more, see
    # plans/redrive.md.
    redrive = [
      {
        Sid      = "TakeOut"
        Resource = local.all_dlqs
        Action = [
          "sqs:GetQueueUrl",
          "sqs:GetQueueAttributes",
          "sqs:ReceiveMessage",
          "sqs:DeleteMessage",
          "sqs:ChangeMessageVisibility",
        ]
      },
      {
        Sid      = "PutBack"
        Resource = local.all_queues
        Action   = ["sqs:GetQueueAttributes", "sqs:SendMessage"]
      },
      {
        Sid      = "Explain"
        Resource = local.status_tables
        Action   = ["dynamodb:BatchGetItem", "dynamodb:Scan"] # the scan is of one page
      },
    ]
  }

  policies = {
    for role, statements in local.statements : role => jsonencode({
      Version   = "2012-10-17"
      Statement = [for statement in statements : merge({ Effect = "Allow" }, statement)]
    })
  }
}
