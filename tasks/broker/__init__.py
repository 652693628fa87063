"""Dramatiq's broker, fed from PostgreSQL: `postgres.py` is what Dramatiq sees, `feeder.py` what PostgreSQL sees."""
