# ---------------------------------------------------------------------------------------------
# Versions: Terraform itself and the one provider. `terraform test` needs 1.7 (mock providers).
# ---------------------------------------------------------------------------------------------

terraform {
  required_version = ">= 1.5.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0, < 7.0"
    }
  }
}
