# ---------------------------------------------------------------------------------------------
# Variables: everything that may differ between two users, and the map of sets.
# Ranges and cross-field rules are validations here; no other file checks a value.
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
}

variable "sets" {
  type = map(object({
    max_receive_count             = optional(number, 2)       # small, so that a poison message reaches the DLQ in seconds
    message_retention_seconds     = optional(number, 345600)  # 4 days
    dlq_message_retention_seconds = optional(number, 1209600) # 14 days: the clock runs from the first enqueue, not from the move
  }))
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
    condition     = alltrue([for set in values(var.sets) : set.max_receive_count >= 1 && set.max_receive_count <= 1000 && floor(set.max_receive_count) == set.max_receive_count])
    error_message = "max_receive_count must be a whole number from 1 to 1000."
  }

  validation {
    condition = alltrue(flatten([
      for set in values(var.sets) : [
        for seconds in [set.message_retention_seconds, set.dlq_message_retention_seconds] :
        seconds >= 60 && seconds <= 1209600 && floor(seconds) == seconds
      ]
    ]))
    error_message = "message_retention_seconds and dlq_message_retention_seconds must be whole numbers from 60 to 1209600 (14 days, the limit of SQS)."
  }

  validation {
    condition     = alltrue([for set in values(var.sets) : set.dlq_message_retention_seconds > set.message_retention_seconds])
    error_message = "dlq_message_retention_seconds must be longer than message_retention_seconds: the DLQ counts from the first enqueue, so an equal time loses messages as they arrive there."
  }
}
