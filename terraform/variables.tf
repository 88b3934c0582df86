# ---------------------------------------------------------------------------------------------
# Variables: everything that may differ between two users, and the map of sets.
# Ranges are validations here; that a DLQ keeps longer than its queue is a precondition in main.tf,
# since it needs the defaults of a set, which a validation may not see before Terraform 1.9.
# The local stack (scripts/local_aws.py) reads the defaults of this file, so keep them literal.
# ---------------------------------------------------------------------------------------------

variable "aws_region" {
  type        = string
  description = "Region of all queues and tables."
  default     = "us-west-1"

  validation {
    condition     = can(regex("^[a-z]{2,4}(-[a-z]+)+-[0-9]+$", var.aws_region))
    error_message = "aws_region must be a region name such as us-west-1 or eu-central-1."
  }
}

variable "project_name" {
  type        = string
  description = "Base of every name: <project_name>-<set>-queue, -queue-dlq, -message-status, -message-completed."
  default     = "sqs-demo"

  validation {
    # 80 characters is the limit of a queue name; "-backpressure-queue-dlq" takes 23 of them.
    condition     = can(regex("^[a-zA-Z0-9][a-zA-Z0-9_-]{0,56}$", var.project_name))
    error_message = "project_name must be 1 to 57 characters: letters, digits, '-' and '_', starting with a letter or digit."
  }
}

variable "queue_visibility_timeout" {
  type        = number
  description = "Visibility timeout of the queues, in seconds."
  default     = 10 # short, so that a redelivery can be watched within seconds; real workers want more than their slowest work

  validation {
    condition     = var.queue_visibility_timeout >= 1 && var.queue_visibility_timeout <= 43200 && floor(var.queue_visibility_timeout) == var.queue_visibility_timeout
    error_message = "queue_visibility_timeout must be a whole number from 1 to 43200 seconds (12 hours, the limit of SQS); 0 would hand every message to every consumer at once."
  }
}

variable "queue_receive_wait" {
  type        = number
  description = "Default length of a long poll, in seconds."
  default     = 10

  validation {
    condition     = var.queue_receive_wait >= 0 && var.queue_receive_wait <= 20 && floor(var.queue_receive_wait) == var.queue_receive_wait
    error_message = "queue_receive_wait must be a whole number from 0 to 20 seconds; 20 is the limit of SQS."
  }
}

variable "tags" {
  type        = map(string)
  description = "Tags of all resources, in addition to Project and Set."
  default     = { Purpose = "sqs-workbench" }

  validation {
    condition     = alltrue([for key in keys(var.tags) : can(regex("^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]{1,128}$", key)) && !startswith(lower(key), "aws:")])
    error_message = "Each key in tags must be 1 to 128 letters, digits, spaces and _ . : / = + - @, and must not begin with 'aws:', which AWS keeps for itself: ${jsonencode(keys(var.tags))}."
  }

  validation {
    condition     = alltrue([for value in values(var.tags) : can(regex("^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]{0,256}$", value))])
    error_message = "Each value in tags must be 0 to 256 letters, digits, spaces and _ . : / = + - @."
  }

  validation {
    condition     = length(setintersection(keys(var.tags), ["Project", "Set"])) == 0
    error_message = "tags must not contain 'Project' or 'Set': project_name and the names in sets give them."
  }

  validation {
    condition     = length(var.tags) <= 48
    error_message = "tags must be 48 at most: AWS takes 50 of a queue or table, and Project and Set are two of them."
  }
}

# What a set has unless it says otherwise. These are also the only attributes that a set may have.
locals {
  set_defaults = {
    max_receive_count             = 2       # small, so that a poison message reaches the DLQ in seconds
    message_retention_seconds     = 345600  # 4 days
    dlq_message_retention_seconds = 1209600 # 14 days: the clock runs from the first enqueue, not from the move
  }
  sets = {
    for name, own in var.sets : name => merge(local.set_defaults, { for attribute, value in own : attribute => value if value != null })
  }
}

variable "sets" {
  type        = map(map(number)) # not object(...), which drops a misspelt attribute without a word
  description = "One queue, its DLQ and two tables for each; a scenario names the set that it runs on."
  default = {
    happy        = {}
    crash        = {}
    dup          = {} # also side-effects
    poison       = {} # also partial-batch
    backpressure = {}
  }

  validation {
    condition     = contains(keys(var.sets), "happy")
    error_message = "sets must contain 'happy': .env and the output queue_url name its resources."
  }

  validation {
    # As long as "backpressure" at most: project_name's limit counts on it.
    condition     = alltrue([for name in keys(var.sets) : can(regex("^[a-z][a-z0-9-]{0,11}$", name))])
    error_message = "Each name in sets must be 1 to 12 characters: lower-case letters, digits and '-', starting with a letter."
  }

  validation {
    condition     = length(setsubtract(flatten([for set in values(var.sets) : keys(set)]), ["max_receive_count", "message_retention_seconds", "dlq_message_retention_seconds"])) == 0
    error_message = "A set takes max_receive_count, message_retention_seconds and dlq_message_retention_seconds; sets has ${join(", ", flatten([for name, set in var.sets : [for attribute in keys(set) : "${name}.${attribute}"]]))}."
  }

  validation {
    condition = alltrue(flatten([
      for set in values(var.sets) : [
        for attribute, value in set : value >= 1 && value <= 1000 && floor(value) == value
        if attribute == "max_receive_count" && value != null
      ]
    ]))
    error_message = "max_receive_count must be a whole number from 1 to 1000."
  }

  validation {
    condition = alltrue(flatten([
      for set in values(var.sets) : [
        for attribute, value in set : value >= 60 && value <= 1209600 && floor(value) == value
        if endswith(attribute, "message_retention_seconds") && value != null
      ]
    ]))
    error_message = "message_retention_seconds and dlq_message_retention_seconds must be whole numbers from 60 to 1209600 (14 days, the limit of SQS)."
  }
}
