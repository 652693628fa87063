"""The queue, its programs and its performers, against real PostgreSQL, Redis and processes."""
