"""The desk: everything the service consists of, on one machine, started and ended together."""
