"""What every scenario shares: words, processes, queues, evidence, checks and the report."""
