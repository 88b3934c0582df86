# ---------------------------------------------------------------------------------------------
# Env: writes .env at the repository root for runs by hand, with the names of the happy set.
# `make infra-up` replaces this one resource when the file is missing or not the one written
# here; a trigger on the file's existence would make every second plan show a change.
# ---------------------------------------------------------------------------------------------

locals {
  env_values = {
    QUEUE_URL               = local.scenarios["happy"].queue_url
    DLQ_ARN                 = local.scenarios["happy"].dlq_arn
    AWS_REGION              = var.aws_region
    MESSAGE_STATUS_TABLE    = local.scenarios["happy"].message_status_table
    MESSAGE_COMPLETED_TABLE = local.scenarios["happy"].message_completed_table
  }
  # Names, URLs and ARNs hold no quotes, so single quotes suit shells and python-dotenv alike.
  env_text = join("", [for name, value in local.env_values : "${name}='${value}'\n"])
}

resource "terraform_data" "env_file" {
  triggers_replace = [local.env_text, abspath(path.module)]

  provisioner "local-exec" {
    command     = "${path.module}/env_file.sh write"
    environment = { ENV_TEXT = local.env_text }
  }

  provisioner "local-exec" {
    when    = destroy
    command = "${path.module}/env_file.sh remove"
  }
}
