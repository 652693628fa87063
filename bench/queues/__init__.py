"""Queues side by side: one file a system, one a measurement. Those of peers run in a venv of their own."""
