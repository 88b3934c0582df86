"""The local stack: what terraform/ describes, on one MiniStack process on this machine."""
