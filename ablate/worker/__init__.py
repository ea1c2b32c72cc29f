"""Claims a slot, trains in a child process, tells the result."""
