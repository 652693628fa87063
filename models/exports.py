"""All that we know of a person, as a ZIP that only they can fetch, for a week.

Holds the file itself, because disks of dynos forget. Refuses nothing that is theirs, and shows nobody else's.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from piccolo.columns import BigSerial, Bytea, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import guard
from models.accounts import User, lock_present
from models.base import Record, restricted
from models.errors import NotFound, Throttled, WrongState
from models.jobs import ExportAccount
from models.outbox import Enqueued, enqueue

KEPT_DAYS: Final = 7
"""How long a file can be fetched: a week's holiday, and then it is one copy less of somebody's life."""
MOST_A_DAY: Final = 3
"""Exports of one person within 24 hours: each costs a worker seconds, and nobody's life changes faster."""
MAX_BYTES: Final = 20_000_000
"""Of the JSON in one export: it is gathered in memory, and its row holds it. Past this a person does it by hand."""


class Export(Table, tablename="exports"):
    """One export. `content` is None until its job has made it."""

    id = BigSerial(primary_key=True)
    user = restricted(User)
    content = Bytea(null=True, default=None, secret=True)
    sha256 = Text(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    ready_at = Timestamptz(null=True, default=None)
    expires_at = Timestamptz()


class ExportRequested(Record, frozen=True):
    """An export that waits for its job."""

    export_id: int
    job: Enqueued


class ExportWanted(Record, frozen=True):
    """An export that is to be made."""

    export_id: int
    user_id: int
    created_at: datetime


class ExportOutcome(Record, frozen=True):
    """A file that can be fetched."""

    export_id: int
    size_bytes: int
    sha256: str
    expires_at: datetime


class Section(Record, frozen=True):
    """One file of an export: `columns` are those by which its rows belong to a person, $1 is that person's id."""

    columns: tuple[str, ...]
    sql: str


_MINE: Final = "(select id from contracts where client = $1 or freelancer = $1)"

SECTIONS: Final[dict[str, Section]] = {
    "account": Section(
        columns=(),
        sql="""select id, email, first_name, last_name, role, email_verified_at, password_changed_at, headline, about,
                      country, time_zone, suspended_at, suspended_because, deactivated_at, stripe_customer_id,
                      stripe_account_id, payouts_ready, created_at from users where id = $1""",
    ),
    "sessions": Section(
        columns=("sessions.user",),
        sql="""select id, user_agent, ip_address, network, country, city, latitude, longitude, proved_at, created_at,
                      refreshed_at, revoked_at, revoked_because from sessions where "user" = $1 order by created_at""",
    ),
    "sign_ins_begun": Section(
        columns=("sign_in_tickets.user",),
        sql="""select methods, risk_score, user_agent, ip_address, country, city, latitude, longitude, attempts,
                      created_at, used_at from sign_in_tickets where "user" = $1 order by created_at""",
    ),
    "security_events": Section(
        columns=("security_events.user",),
        sql="""select id, kind, ip_address, network, user_agent, country, city, details, created_at
                 from security_events where "user" = $1 order by id""",
    ),
    "second_factors": Section(
        columns=("mfa_methods.user",),
        sql="""select id, method, name, contact, created_at, confirmed_at, last_used_at
                 from mfa_methods where "user" = $1 order by id""",
    ),
    "codes_sent": Section(
        columns=("security_codes.user",),
        sql="""select method, purpose, contact, status, created_at, used_at
                 from security_codes where "user" = $1 order by id""",
    ),
    "notification_preferences": Section(
        columns=("notification_preferences.user",),
        sql="""select category, email, in_app from notification_preferences where "user" = $1 order by category""",
    ),
    "notifications": Section(
        columns=("notifications.user",),
        sql="""select id, type, title, message, data, created_at, read_at
                 from notifications where "user" = $1 order by id""",
    ),
    "mails": Section(
        columns=("mails.user",),
        sql="""select id, kind, address, context, status, created_at, sent_at
                 from mails where "user" = $1 order by id""",
    ),
    "projects": Section(
        columns=("projects.client",),
        sql="""select id, title, description, category, skills, budget_type, budget_min_minor, budget_max_minor,
                      currency, deadline, visibility, status, created_at, updated_at, published_at
                 from projects where client = $1 order by id""",
    ),
    "proposals": Section(
        columns=("proposals.freelancer",),
        sql="""select id, project as project_id, cover_letter, bid_minor, currency, delivery_days, milestones, status,
                      created_at, decided_at from proposals where freelancer = $1 order by id""",
    ),
    "contracts": Section(
        columns=("contracts.client", "contracts.freelancer"),
        sql="""select c.id, c.project as project_id, c.proposal as proposal_id,
                      case when c.client = $1 then 'client' else 'freelancer' end as your_part,
                      o.first_name || ' ' || o.last_name as other_party, c.title, c.amount_minor, c.currency, c.fee_bp,
                      c.status, c.client_signed_at, c.freelancer_signed_at, c.created_at, c.completed_at
                 from contracts c join users o on o.id = case when c.client = $1 then c.freelancer else c.client end
                where c.client = $1 or c.freelancer = $1 order by c.id""",
    ),
    "milestones": Section(
        columns=(),
        sql=f"""select id, contract as contract_id, title, description, amount_minor, currency, due_date, status,
                       delivery_note, submitted_at, created_at, updated_at
                  from milestones where contract in {_MINE} order by id""",
    ),
    "payments": Section(
        columns=("payments.payer",),
        sql="""select id, milestone as milestone_id, amount_minor, currency, payment_method_id, rail, status, intent_id,
                      charge_id, failure_code, decline_code, created_at, updated_at
                 from payments where payer = $1 order by id""",
    ),
    "releases": Section(
        columns=(),
        sql=f"""select r.id, r.milestone as milestone_id, r.gross_minor, r.fee_minor, r.net_minor, r.currency, r.status,
                       r.transfer_id, r.created_at, r.completed_at
                  from releases r join milestones m on m.id = r.milestone where m.contract in {_MINE} order by r.id""",
    ),
    "ledger": Section(
        columns=(),
        sql="""select p.journal as journal_id, p.account, p.amount::text as amount, p.asset, j.kind, j.subject,
                      j.effective_at from postings p join journals j on j.id = p.journal
                where p.account like 'user:' || $1::bigint || ':%' order by p.id""",
    ),
    "exports": Section(
        columns=("exports.user",),
        sql="""select id, octet_length(content) as size_bytes, sha256, created_at, ready_at, expires_at
                 from exports where "user" = $1 order by id""",
    ),
    "powers_used": Section(
        columns=("audit_log.actor_id",),
        sql="""select at, action, subject_kind, subject_id from audit_log where actor_id = $1 order by id""",
    ),
}
"""What an export has, one JSON file each, in this order. Secrets (hashes, sealed texts, codes) are in none."""

LEFT_OUT: Final[dict[str, str]] = {
    "backup_codes.user": "hashes of secrets; how many are left is told by GET /api/auth/2fa/status",
    "passkey_challenges.user": "random bytes that were signed or not, kept for a day",
    "idempotency_keys.user_id": "fingerprints of requests, kept for two days",
    "standing_changes.user_id": "a number that tells processes to look again, kept for a day",
    "jobs.caller_id": "ids of what is in the other files, and how our machines fared with them",
    "queue_pauses.paused_by": "a switch of the machinery that an admin pressed; the audit log has it",
}
"""Columns that name a person and are in no export, each with its reason; a test finds one that is in neither list."""

# Measured before it is built: a value of a gigabyte would be the server's trouble and then ours.
GATHER: Final = """
with found as materialized ({sql})
select case when (select coalesce(sum(octet_length(to_json(f)::text)), 0) from found f) <= $2::bigint
            then (select coalesce(json_agg(f), '[]')::text from found f) end
"""

COMPLETE: Final = """
update exports set content = $2, sha256 = $3, ready_at = now(), expires_at = now() + make_interval(days => $4)
 where id = $1 and content is null
"""
OUTCOME: Final = """
select id as export_id, octet_length(content) as size_bytes, sha256, expires_at
  from exports where id = $1 and content is not null and expires_at > now()
"""


async def request(user_id: int) -> ExportRequested:
    """Ask for an export of one's own; a job makes it. Raises Throttled past MOST_A_DAY within 24 hours."""
    await lock_present(user_id)
    recent = await guard.rows(
        """select created_at from exports
            where "user" = $1 and created_at > now() - interval '24 hours' order by created_at""",
        user_id,
    )
    if len(recent) >= MOST_A_DAY:
        again = recent[-MOST_A_DAY]["created_at"] + timedelta(days=1) - datetime.now(UTC)
        raise Throttled(
            f"You have asked for {len(recent)} exports within 24 hours; {MOST_A_DAY} is the most.",
            retry_after_s=max(1.0, again.total_seconds()),
        )
    export_id = await guard.value(
        """insert into exports ("user", created_at, expires_at)
           values ($1, now(), now() + make_interval(days => $2)) returning id""",
        user_id,
        KEPT_DAYS,
    )
    return ExportRequested(export_id=export_id, job=await enqueue(ExportAccount(export_id=export_id)))


async def find_unmade(export_id: int) -> ExportWanted | None:
    """The export that a job is to make; None when it is made. Raises NotFound when its person was erased meanwhile."""
    found = await guard.row(
        'select "user" as user_id, created_at, content is not null as made from exports where id = $1', export_id
    )
    if found is None:
        raise NotFound(f"There is no export {export_id}.")
    if found["made"]:
        return None
    return ExportWanted(export_id=export_id, user_id=found["user_id"], created_at=found["created_at"])


async def gather(user_id: int, *, max_bytes: int = MAX_BYTES) -> dict[str, str]:
    """A person's data of one moment: JSON by section. Raises WrongState when it is more than `max_bytes`."""
    guard.in_transaction()
    await guard.rows("set transaction isolation level repeatable read, read only")
    await guard.rows("set local timezone = 'UTC'")
    gathered: dict[str, str] = {}
    left = max_bytes
    for name, section in SECTIONS.items():
        text = await guard.value(GATHER.format(sql=section.sql), user_id, left)
        if text is None or len(text.encode()) > left:
            raise WrongState(f"Your data is more than {max_bytes // 1_000_000} MB: write to support for it.")
        gathered[name] = text
        left -= len(text.encode())
    return gathered


async def complete(export_id: int, content: bytes, sha256: str) -> ExportOutcome:
    """Keep an export's file, once, from now on for a week. Raises NotFound when its person was erased meanwhile."""
    guard.in_transaction()
    await guard.rows(COMPLETE, export_id, content, sha256, KEPT_DAYS)
    return await outcome(export_id)


async def outcome(export_id: int) -> ExportOutcome:
    """A file that can be fetched. Raises NotFound when there is none, or it is past its time."""
    found = await guard.row(OUTCOME, export_id)
    if found is None:
        raise NotFound(f"There is no export {export_id}.")
    return ExportOutcome(**dict(found))


async def read_content(export_id: int, *, user_id: int) -> bytes:
    """The file, for the one it is about. Raises NotFound for anybody else, unmade, and past its time."""
    found: bytes | None = await guard.value(
        """select content from exports where id = $1 and "user" = $2 and content is not null and expires_at > now()""",
        export_id,
        user_id,
    )
    if found is None:
        raise NotFound(f"There is no export {export_id}.")
    return found
