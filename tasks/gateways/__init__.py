"""The outside world: one module a provider. They know the provider and not the domain, and answer or raise two things.

`Unreachable`: no answer, or "later"; repeat with the same key. `Refused`: an answer, and it is no.
"""
