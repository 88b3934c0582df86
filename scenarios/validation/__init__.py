"""Compares live queues and tables with what Terraform's outputs say they should be."""
