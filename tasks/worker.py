"""Every module with performers, by name: importing this is what makes a process able to work.

What is not imported here is worked by nobody; a test compares this list with the jobs declared in `models/jobs.py`.
"""

import tasks.escrow
import tasks.inbox
import tasks.invariants
import tasks.mail
import tasks.payments
import tasks.upkeep  # noqa: F401
