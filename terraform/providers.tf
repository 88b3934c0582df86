# ---------------------------------------------------------------------------------------------
# Providers: credentials, profile and endpoint come from the environment, as they do for boto3.
# AWS_ENDPOINT_URL alone turns this towards the local stack.
# ---------------------------------------------------------------------------------------------

provider "aws" {
  region = var.aws_region

  default_tags {
    tags = merge(var.tags, { Project = var.project_name })
  }
}
