"""The realtime process, as browsers meet it."""
