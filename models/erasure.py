"""How a person leaves: for a while, or for good.

Refuses while work or money is under way. Erasure forgets who somebody was, everywhere and at once; what was agreed and
paid stays, because the other side and the books need it, with "Deleted user" in that place.
"""

from typing import Final
from uuid import UUID

from models import audit, guard, mail, projects, rejections, security, sessions, uploads
from models.errors import AccountInUse
from models.events import ProposalUpdated, user
from models.letters import MailKind
from models.locks import Noun, lock
from models.outbox import publish
from models.projects import ProjectStatus
from models.proposals import ProposalStatus
from models.security import SecurityEventKind
from models.visitors import NOBODY, Visitor

FIRST_NAME: Final = "Deleted"
LAST_NAME: Final = "user"
NAME: Final = f"{FIRST_NAME} {LAST_NAME}"
"""What others see where somebody was."""
PROJECT_TITLE: Final = "Deleted project"
"""Of a project that nobody has a contract for."""

# What is under way, counted: the words are the answer's.
IN_USE: Final = """
with mine as (select id, freelancer, status from contracts where client = $1 or freelancer = $1)
select (select count(*) from mine where status in ('pending_signature', 'active')) as contracts,
       (select count(*) from milestones m join mine c on c.id = m.contract
         where m.status in ('funding', 'funded', 'submitted', 'changes_requested', 'disputed', 'releasing',
                            'settling')) as milestones,
       (select count(*) from payments p join milestones m on m.id = p.milestone join mine c on c.id = m.contract
         where p.status in ('requested', 'processing', 'requires_action', 'requires_capture', 'canceling'))
           as payments,
       (select count(*) from releases r join milestones m on m.id = r.milestone join mine c on c.id = m.contract
         where r.status = 'begun'
            or (r.status = 'completed' and r.transfer_id is null and c.freelancer = $1)) as releases,
       (select count(*) from balances where account like 'user:' || $1::bigint || ':%' and amount > 0) as balances,
       (select count(*) from projects where client = $1 and status = 'in_progress') as projects,
       (select count(*) from disputes where (opener = $1 or other_party = $1) and status <> 'closed') as disputes,
       (select count(*) from time_weeks w join mine c on c.id = w.contract where w.status = 'in_review') as weeks,
       (select count(*) from refund_requests r join milestones m on m.id = r.milestone join mine c on c.id = m.contract
         where r.status = 'open') as refund_requests,
       (select count(*) from settlements s join milestones m on m.id = s.milestone join mine c on c.id = m.contract
         where s.status = 'due') as settlements
"""
WORDS: Final = {
    "contracts": "contracts that have not ended",
    "milestones": "milestones with money on them",
    "payments": "payments that have not ended",
    "releases": "releases whose money has not left",
    "balances": "balances that are yours",
    "projects": "projects in progress",
    "disputes": "disputes that are not closed",
    "weeks": "weeks in review",
    "refund_requests": "refund requests without an answer",
    "settlements": "settlements whose money has not moved",
}

# Projects that others could still find or propose to, and those on whose table an offer of this person lies.
MARKET: Final = """
select id from projects where client = $1 and status = 'open'
 union
select project from proposals where freelancer = $1 and status in ('submitted', 'shortlisted')
 order by 1
"""
# Of the same projects: what this person offers, and what others offer for theirs.
OFFERED: Final = """
select o.id, o.freelancer = $2 as is_own from proposals o join projects p on p.id = o.project
 where o.project = any($1::bigint[]) and (o.freelancer = $2 or p.client = $2)
   and o.status in ('submitted', 'shortlisted')
"""
WITHDRAW: Final = """
update proposals o set status = 'withdrawn', decided_at = now() from projects p
 where o.id = any($1::bigint[]) and p.id = o.project and o.status in ('submitted', 'shortlisted')
returning o.id, o.project, o.freelancer, p.client
"""
WITHDRAW_TERMS: Final = """
update counter_offers set status = 'withdrawn', answered_at = business_now()
 where proposal = any($1::bigint[]) and status = 'open'
"""

_CONTRACTS: Final = "(select id from contracts where client = $1 or freelancer = $1)"
_PROPOSALS: Final = """
(select o.id from proposals o join projects p on p.id = o.project where o.freelancer = $1 or p.client = $1)
"""
_PROJECTS: Final = """
(select id from projects where client = $1 union select project from project_invitations where freelancer = $1)
"""
_CHATS: Final = "(select id from conversations where low = $1 or high = $1)"
_OTHERS: Final = """
(select case when client = $1 then freelancer else client end from contracts where client = $1 or freelancer = $1
 union select case when p.client = $1 then o.freelancer else p.client end
         from proposals o join projects p on p.id = o.project where o.freelancer = $1 or p.client = $1
 union select case when p.client = $1 then i.freelancer else p.client end
         from project_invitations i join projects p on p.id = i.project where i.freelancer = $1 or p.client = $1
 union select case when low = $1 then high else low end from conversations where low = $1 or high = $1)
"""
"""Who may have been told this person's name."""


def _about(said: str) -> str:
    """Whether what was said is about a contract, a proposal, an invitation or a chat of this person and one other."""
    return f"""
        (({said}->>'contract_id')::bigint in {_CONTRACTS} or ({said}->>'proposal_id')::bigint in {_PROPOSALS}
         or ({said}->>'conversation_id')::bigint in {_CHATS}
         or (not {said} ?| array['contract_id', 'proposal_id'] and ({said}->>'project_id')::bigint in {_PROJECTS}))"""


FORGET: Final[dict[str, str]] = {
    # Whatever holds a secret, a place, or what was told to this person alone, goes whole.
    **{
        table: f'delete from {table} where "user" = $1'
        for table in (
            # In the order in which a code that is used up locks them.
            "security_codes",
            "mfa_methods",
            "backup_codes",
            "sign_in_tickets",
            "passkey_challenges",
            "security_events",
            "notification_preferences",
            "exports",
            "notifications",
        )
    },
    "idempotency_keys": "delete from idempotency_keys where user_id = $1",
    "events": "delete from events where audience = 'user:' || $1::bigint",
    # The row stays, because tokens of it must go on being refused.
    "sessions": """update sessions set user_agent = '', ip_address = '', network = '', device = '', country = null,
                          city = null, latitude = null, longitude = null where "user" = $1""",
    # That a mail went out stays; what it said does not.
    "mails": """update mails set address = null, context = '{}',
                       status = case when status = 'queued' then 'unwanted' else status end where "user" = $1""",
    # What this person kept and said for themselves alone.
    "saved_search_matches": """delete from saved_search_matches
                                where search in (select id from saved_searches where "user" = $1)""",
    "saved_searches": 'delete from saved_searches where "user" = $1',
    "favorites": 'delete from favorites where "user" = $1 or freelancer = $1',
    "portfolio_items": 'delete from portfolio_items where "user" = $1',
    "user_blocks": "delete from user_blocks where blocker = $1 or blocked = $1",
    "project_invitations": """update project_invitations set message = ''
                               where project in (select id from projects where client = $1)""",
    "counter_offers": """update counter_offers set message = '' where author = $1
                            and not exists (select 1 from contracts where proposal = counter_offers.proposal)""",
    "support_replies": """update support_replies set message = '' where author = $1
                              or ticket in (select id from support_tickets where "user" = $1)""",
    "support_tickets": """update support_tickets set subject = '' where "user" = $1""",
    "proposals": """update proposals set cover_letter = '' where freelancer = $1
                       and not exists (select 1 from contracts where proposal = proposals.id)""",
    "projects": f"""update projects set title = '{PROJECT_TITLE}', description = '', skills = '{{}}' where client = $1
                      and not exists (select 1 from contracts where project = projects.id)""",
    # Stripe's ids stay: refunds, chargebacks and the books are found by them, and only Stripe can read them.
    "users": f"""update users set email = 'erased-' || id || '@erased.invalid',
                        email_key = 'erased-' || id || '@erased.invalid', password_hash = '',
                        first_name = '{FIRST_NAME}', last_name = '{LAST_NAME}', headline = '', about = '',
                        country = null, time_zone = 'UTC', onboarding_sealed = null, suspended_because = null,
                        email_verified_at = null, payouts_ready = false, skills = '{{}}', hourly_rate_minor = null,
                        rate_currency = null, is_available = false, avatar_upload_id = null, quiet_from_minute = null,
                        quiet_to_minute = null, erased_at = now(),
                        deactivated_at = coalesce(deactivated_at, now()) where id = $1""",
}
"""What becomes of each table's rows of an erased person ($1).

Messages, reviews, disputes, hours and deliveries stay: the other side owns them too, and reads "Deleted user" where the
name was. Invoices stay as they are, with the names of their day: the books need them.
"""

# $2 the name, as it was; $3 what stands there from now on. A mail says by its field whose name it is; in other texts
# the name is sought.
FORGET_NAMES: Final[dict[str, str]] = {
    **{
        f"mails with {field}": f"""
        update mails m set context = context || jsonb_build_object('{field}', $3::text)
         where m."user" in {_OTHERS} and context ? '{field}' and $2::text <> '' and {which}"""
        for field, which in (
            (
                "freelancer_name",
                """((context->>'contract_id')::bigint in (select id from contracts where freelancer = $1)
                     or (context->>'proposal_id')::bigint in (select id from proposals where freelancer = $1))""",
            ),
            (
                "client_name",
                """((context->>'contract_id')::bigint in (select id from contracts where client = $1)
                    or (not context ? 'contract_id'
                        and (context->>'project_id')::bigint in (select id from projects where client = $1)))""",
            ),
            ("other_name", _about("context")),
            ("reviewer_name", _about("context")),
            ("sender_name", _about("context")),
        )
    },
    "notifications": f"""
        update notifications n set title = replace(title, $2, $3), message = replace(message, $2, $3)
         where n."user" in {_OTHERS} and strpos(title || message, $2) > 0 and {_about("data")}""",
    "events": f"""
        update events e set payload = payload
               || jsonb_build_object('title', replace(payload->>'title', $2, $3),
                                     'message', replace(payload->>'message', $2, $3))
         where e.audience in (select 'user:' || o.id from {_OTHERS} o(id)) and name = 'notification'
           and strpos(payload::text, $2) > 0 and {_about("(payload->'data')")}""",
}
"""Where others were told this person's name: in what was written to them about something the two had in common."""


async def deactivate(user_id: int, visitor: Visitor = NOBODY, *, session_id: UUID | None = None) -> None:
    """Hide an account until its owner signs in again: every session ends, open projects close, offers are withdrawn.

    Raises AccountInUse while work or money is under way; TokenInvalid when the session that asks has ended meanwhile.
    """
    await _leave_market(user_id, session_id)
    at = await guard.value(
        """update users set deactivated_at = now() where id = $1 and deactivated_at is null
           returning deactivated_at""",
        user_id,
    )
    if at is None:  # a second press of the same button, which waited for the first one's lock
        return
    await sessions.revoke_all(user_id, "account_deactivated")
    await security.note(user_id, SecurityEventKind.ACCOUNT_DEACTIVATED, visitor)
    await audit.record(user_id, "account.deactivated", "user", str(user_id))
    about = f"user:{user_id}:{int(at.timestamp() * 1000)}"
    await mail.write(MailKind.ACCOUNT_DEACTIVATED, to=user_id, about=about)


async def erase(user_id: int, *, session_id: UUID | None = None) -> None:
    """Forget who somebody was, for good; their address may register anew. A second time changes nothing.

    Raises AccountInUse while work or money is under way; TokenInvalid when the session that asks has ended meanwhile:
    whoever took an account back has the last word.
    """
    await _leave_market(user_id, session_id)
    found = await guard.only(
        "select first_name || ' ' || last_name as name, erased_at from users where id = $1", user_id
    )
    if found["erased_at"] is not None:
        return
    await sessions.revoke_all(user_id, "account_erased")
    for sql in FORGET_NAMES.values():
        await guard.rows(sql, user_id, found["name"], NAME)
    for sql in FORGET.values():
        await guard.rows(sql, user_id)
    await uploads.forget_all(user_id)
    await audit.record(user_id, "account.erased", "user", str(user_id))


async def _leave_market(user_id: int, session_id: UUID | None) -> None:
    """Lock the account and what it has on the market, see that nothing is under way, and take it off the market."""
    await lock(Noun.ACCOUNT, user_id)
    if session_id is not None:
        await sessions.require_live(session_id)
    market = [one["id"] for one in await guard.rows(MARKET, user_id)]
    await lock(Noun.PROJECT, *market)
    # Under the projects' locks: an acceptance has either made its contract, which is seen here, or waits for us.
    await _check_unused(user_id)
    own = await guard.rows(
        "select id from projects where id = any($1::bigint[]) and client = $2 and status = 'open'", market, user_id
    )
    # All of them at once: locks are taken in one order, and each project below would begin anew.
    offers = await guard.rows(OFFERED, market, user_id)
    await lock(Noun.PROPOSAL, *(one["id"] for one in offers))
    for one in own:
        await projects.move(await projects.locked(one["id"]), ProjectStatus.CLOSED)
        await rejections.reject_undecided(one["id"], because="Its client has left MegiLance.")
    await _withdraw([offer["id"] for offer in offers if offer["is_own"]])


async def _withdraw(offers: list[int]) -> None:
    """Withdraw these locked proposals, and the terms that lie on the table for them."""
    await guard.rows(WITHDRAW_TERMS, offers)
    for one in await guard.rows(WITHDRAW, offers):
        told = ProposalUpdated(proposal_id=one["id"], project_id=one["project"], status=ProposalStatus.WITHDRAWN.value)
        await publish(told, user(one["client"]), user(one["freelancer"]))


async def _check_unused(user_id: int) -> None:
    counted = await guard.only(IN_USE, user_id)
    under_way = [f"{words}: {counted[field]}" for field, words in WORDS.items() if counted[field]]
    if under_way:
        raise AccountInUse(f"The account has work or money under way; {', '.join(under_way)}.")
