"""What stands in for the world on a machine without accounts: a set of processes that nobody imports."""
