"""What the tests of the queue start and write to serves the crashes too."""

from tests.tasks.conftest import effects, start

__all__ = ["effects", "start"]
