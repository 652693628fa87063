"""Every module with performers, by name: importing this is what makes a process able to work.

What is not imported here is worked by nobody; a test compares this list with the jobs declared in `models/jobs.py`.
"""

import tasks.audit
import tasks.escrow
import tasks.inbox
import tasks.invariants
import tasks.invoices
import tasks.mail
import tasks.payments
import tasks.searches
import tasks.security
import tasks.timers
import tasks.upkeep
import tasks.uploads
import tasks.users  # noqa: F401
