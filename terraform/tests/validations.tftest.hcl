# Each validation refuses what it should, and the edges pass. A run names every variable that it
# sets, and fails when one of them is not refused.

mock_provider "aws" {}

run "too_low" {
  command = plan
  variables {
    aws_region               = ""
    project_name             = ""
    queue_visibility_timeout = 0
    queue_receive_wait       = -1
    sets                     = { happy = { max_receive_count = 0 } }
  }
  expect_failures = [var.aws_region, var.project_name, var.queue_visibility_timeout, var.queue_receive_wait, var.sets]
}

run "too_high" {
  command = plan
  variables {
    project_name             = "a123456789a123456789a123456789a123456789a123456789a1234567"
    queue_visibility_timeout = 50000
    queue_receive_wait       = 21
    sets                     = { happy = { max_receive_count = 1001 } }
  }
  expect_failures = [var.project_name, var.queue_visibility_timeout, var.queue_receive_wait, var.sets]
}

run "fractions" {
  command = plan
  variables {
    queue_visibility_timeout = 1.5
    queue_receive_wait       = 0.5
    sets                     = { happy = { max_receive_count = 1.5 } }
  }
  expect_failures = [var.queue_visibility_timeout, var.queue_receive_wait, var.sets]
}

run "unfinished_region_space_and_upper_case_set" {
  command = plan
  variables {
    aws_region   = "us-west"
    project_name = "my demo"
    sets         = { happy = {}, Crash = {} }
  }
  expect_failures = [var.aws_region, var.project_name, var.sets]
}

run "upper_case_region_dot_and_long_set" {
  command = plan
  variables {
    aws_region   = "US-WEST-1"
    project_name = "my.demo"
    sets         = { happy = {}, a-name-too-long = {} }
  }
  expect_failures = [var.aws_region, var.project_name, var.sets]
}

run "no_happy_set" {
  command = plan
  variables {
    sets = { crash = {} }
  }
  expect_failures = [var.sets]
}

run "retention_too_short" {
  command = plan
  variables {
    sets = { happy = { message_retention_seconds = 59 } }
  }
  expect_failures = [var.sets]
}

run "retention_fraction" {
  command = plan
  variables {
    sets = { happy = { message_retention_seconds = 60.5 } }
  }
  expect_failures = [var.sets]
}

run "dlq_retention_too_long" {
  command = plan
  variables {
    sets = { happy = { dlq_message_retention_seconds = 1209601 } }
  }
  expect_failures = [var.sets]
}

run "dlq_keeps_no_longer_than_its_queue" {
  command = plan
  variables {
    sets = { happy = { message_retention_seconds = 1209600 } }
  }
  expect_failures = [aws_sqs_queue.dlq]
}

run "a_misspelt_attribute_of_a_set" {
  command = plan
  variables {
    sets = { happy = {}, slow = { max_recieve_count = 5 } }
  }
  expect_failures = [var.sets]
}

run "an_attribute_that_another_resource_has" {
  command = plan
  variables {
    sets = { happy = { visibility_timeout_seconds = 30 } }
  }
  expect_failures = [var.sets]
}

run "null_is_the_default" {
  command = plan
  variables {
    sets = { happy = { max_receive_count = null, message_retention_seconds = 600 } }
  }

  assert {
    condition     = output.settings.sets == { happy = { max_receive_count = 2, message_retention_seconds = 600, dlq_message_retention_seconds = 1209600 } }
    error_message = "a set must keep what it says and take the rest from the defaults"
  }
}

run "tag_key_of_aws" {
  command = plan
  variables { tags = { "AWS:owner" = "me" } }
  expect_failures = [var.tags]
}

run "tag_key_with_a_character_that_aws_refuses" {
  command = plan
  variables { tags = { "cost;center" = "7" } }
  expect_failures = [var.tags]
}

run "empty_tag_key" {
  command = plan
  variables { tags = { "" = "7" } }
  expect_failures = [var.tags]
}

run "tag_key_too_long" {
  command = plan
  variables { tags = { (join("", [for _ in range(129) : "k"])) = "7" } }
  expect_failures = [var.tags]
}

run "tag_value_with_a_character_that_aws_refuses" {
  command = plan
  variables { tags = { owner = "a\tb" } }
  expect_failures = [var.tags]
}

run "tag_value_too_long" {
  command = plan
  variables { tags = { owner = join("", [for _ in range(257) : "v"]) } }
  expect_failures = [var.tags]
}

run "tag_key_of_the_module" {
  command = plan
  variables { tags = { Project = "another" } }
  expect_failures = [var.tags]
}

run "too_many_tags" {
  command = plan
  variables { tags = { for number in range(49) : "k${number}" => "" } }
  expect_failures = [var.tags]
}

run "tags_at_their_edges" {
  command = plan
  variables {
    tags = merge(
      { for number in range(46) : "k${number}" => "" },
      { (join("", [for _ in range(128) : "é"])) = join("", [for _ in range(256) : "v"]), "a b_.:/=+-@1" = "c d_.:/=+-@1" },
    )
  }
}

run "edges_low" {
  command = plan
  variables {
    queue_visibility_timeout = 1
    queue_receive_wait       = 0
    project_name             = "a"
    aws_region               = "us-gov-west-1"
    sets                     = { happy = { max_receive_count = 1, message_retention_seconds = 60, dlq_message_retention_seconds = 61 } }
  }
}

run "edges_high" {
  command = plan
  variables {
    queue_visibility_timeout = 43200
    queue_receive_wait       = 20
    project_name             = "a123456789a123456789a123456789a123456789a123456789a123456"
    sets                     = { happy = { max_receive_count = 1000, message_retention_seconds = 1209599 }, backpressure = {} }
  }

  assert {
    condition     = max([for queue in aws_sqs_queue.dlq : length(queue.name)]...) == 80
    error_message = "the longest project_name and set name must fill the 80 characters of a queue name exactly"
  }
}
