# Queue policy and role policies; that the roles' actions are the calls really made is shown by
# tests/terraform/test_least_privilege.py.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws-cn" }
  }
}

variables {
  sets = { happy = {}, dup = {} }
}

run "plain_http_is_refused" {
  command = plan

  assert {
    condition = alltrue([
      for queue in concat(values(aws_sqs_queue.queue), values(aws_sqs_queue.dlq)) :
      jsondecode(queue.policy).Statement == [{
        Sid       = "RefusePlainHttp"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = "arn:aws-cn:sqs:us-west-1:123456789012:${queue.name}"
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }]
    ])
    error_message = "each queue must refuse plain HTTP, and name itself in its policy"
  }
}

run "roles_reach_their_own_resources_only" {
  command = plan

  assert {
    condition     = jsondecode(output.producer_policy).Statement[0].Resource == ["arn:aws-cn:sqs:us-west-1:123456789012:sqs-demo-dup-queue", "arn:aws-cn:sqs:us-west-1:123456789012:sqs-demo-happy-queue"]
    error_message = "a producer must reach the queues, and no DLQ"
  }
  assert {
    condition     = !strcontains(output.consumer_policy, "-dlq")
    error_message = "a consumer must not reach a DLQ: SQS itself moves messages there"
  }
  assert {
    condition     = alltrue([for document in [output.producer_policy, output.consumer_policy, output.runner_policy, output.redrive_policy] : !strcontains(document, "*")])
    error_message = "no role policy may have a wildcard"
  }
  assert {
    condition     = alltrue([for document in [output.producer_policy, output.consumer_policy, output.runner_policy, output.redrive_policy] : length(document) < 6144])
    error_message = "a managed policy may have 6,144 characters"
  }
}

run "five_sets_fit_a_managed_policy" {
  command = plan
  variables {
    project_name = "a-project-name-as-long-as-it-can-be-with-57-characters-it"
    aws_region   = "ap-southeast-2"
    sets         = { happy = {}, crash = {}, dup = {}, poison = {}, backpressure = {} }
  }

  assert {
    condition     = alltrue([for document in [output.producer_policy, output.consumer_policy, output.runner_policy, output.redrive_policy] : length(document) < 6144])
    error_message = "a managed policy may have 6,144 characters"
  }
}
