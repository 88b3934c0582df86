"""What tests of several folders share: environment, queues, proxy and child processes."""
