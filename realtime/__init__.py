"""What browsers hear while it happens: a process of its own, which talks to PostgreSQL and Redis only."""
