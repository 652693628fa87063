"""What an export has of a person, table by table: all that is theirs, and nothing that is another's alone.

Where two have a thing in common each finds it, with the other's name at most.
"""

from typing import Final

from models.base import Record


class Section(Record, frozen=True):
    """One file of an export: `columns` are those by which its rows belong to a person, $1 is that person's id."""

    columns: tuple[str, ...]
    sql: str


_MINE: Final = "(select id from contracts where client = $1 or freelancer = $1)"

SECTIONS: Final[dict[str, Section]] = {
    "account": Section(
        columns=(),
        sql="""select id, email, first_name, last_name, role, email_verified_at, password_changed_at, headline, about,
                      country, time_zone, skills, hourly_rate_minor, rate_currency, is_available, avatar_upload_id,
                      rating_sum, rating_count, completed_contracts, quiet_from_minute, quiet_to_minute, suspended_at,
                      suspended_because, deactivated_at, stripe_customer_id, stripe_account_id, payouts_ready,
                      created_at from users where id = $1""",
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
        sql="""select id, project as project_id, cover_letter, bid_minor, currency, delivery_days, milestones,
                      weekly_hours, status, created_at, decided_at from proposals where freelancer = $1 order by id""",
    ),
    "counter_offers": Section(
        columns=("counter_offers.author",),
        sql="""select k.id, k.proposal as proposal_id, k.author = $1 as yours, k.bid_minor, k.delivery_days,
                      k.milestones, k.message, k.status, k.created_at, k.answered_at
                 from counter_offers k join proposals o on o.id = k.proposal join projects p on p.id = o.project
                where o.freelancer = $1 or p.client = $1 order by k.id""",
    ),
    "invitations": Section(
        columns=("project_invitations.freelancer",),
        sql="""select i.id, i.project as project_id, i.freelancer as freelancer_id, i.message, i.status, i.created_at,
                      i.answered_at from project_invitations i join projects p on p.id = i.project
                where i.freelancer = $1 or p.client = $1 order by i.id""",
    ),
    "saved_searches": Section(
        columns=("saved_searches.user",),
        sql="""select id, name, q, category, skills, budget_type, budget_min_minor, budget_max_minor, currency,
                      alerts_by_mail, created_at, unsubscribed_at from saved_searches where "user" = $1 order by id""",
    ),
    "saved_search_matches": Section(
        columns=(),
        sql="""select m.search as search_id, m.project as project_id, m.created_at
                 from saved_search_matches m join saved_searches s on s.id = m.search
                where s."user" = $1 order by m.id""",
    ),
    "favorites": Section(
        columns=("favorites.user",),
        sql="""select id, project as project_id, freelancer as freelancer_id, created_at
                 from favorites where "user" = $1 order by id""",
    ),
    "portfolio": Section(
        columns=("portfolio_items.user",),
        sql="""select id, title, description, url, upload_ids, position, created_at, updated_at
                 from portfolio_items where "user" = $1 order by position, id""",
    ),
    "uploads": Section(
        columns=("uploads.user",),
        sql="""select id, purpose, filename, content_type, size_bytes, status, refused_because, created_at, ready_at
                 from uploads where "user" = $1 order by id""",
    ),
    "contracts": Section(
        columns=("contracts.client", "contracts.freelancer"),
        sql="""select c.id, c.project as project_id, c.proposal as proposal_id,
                      case when c.client = $1 then 'client' else 'freelancer' end as your_part,
                      o.first_name || ' ' || o.last_name as other_party, c.title, c.amount_minor, c.currency, c.fee_bp,
                      c.budget_type, c.weekly_cap_minutes, c.time_zone, c.status, c.client_signed_at,
                      c.freelancer_signed_at, c.created_at, c.completed_at, c.cancelled_at, c.cancelled_because
                 from contracts c join users o on o.id = case when c.client = $1 then c.freelancer else c.client end
                where c.client = $1 or c.freelancer = $1 order by c.id""",
    ),
    "milestones": Section(
        columns=(),
        sql=f"""select id, contract as contract_id, title, description, amount_minor, currency, due_date, status,
                       delivery_note, attachment_ids, change_note, submitted_at, created_at, updated_at
                  from milestones where contract in {_MINE} order by id""",
    ),
    "refund_requests": Section(
        columns=("refund_requests.client", "refund_requests.answered_by"),
        sql=f"""select r.id, r.milestone as milestone_id, r.client = $1 as yours, r.amount_minor, r.currency, r.reason,
                       r.status, r.answer, r.answered_by = $1 as answered_by_you, r.created_at, r.answered_at
                  from refund_requests r join milestones m on m.id = r.milestone
                 where m.contract in {_MINE} order by r.id""",
    ),
    "disputes": Section(
        columns=("disputes.opener", "disputes.other_party", "disputes.appealed_by"),
        sql="""select id, milestone as milestone_id, opener = $1 as opened_by_you, reason, description, status,
                      share_bp, decision, decided_at, appealed_by = $1 as appealed_by_you, appeal, created_at, closed_at
                 from disputes where opener = $1 or other_party = $1 order by id""",
    ),
    "dispute_evidence": Section(
        columns=("dispute_evidence.author",),
        sql="""select id, dispute as dispute_id, note, attachment_ids, created_at
                 from dispute_evidence where author = $1 order by id""",
    ),
    "settlements": Section(
        columns=(),
        sql=f"""select s.id, s.milestone as milestone_id, s.cause, s.freelancer_minor, s.client_minor, s.currency,
                       s.status, s.created_at, s.done_at from settlements s join milestones m on m.id = s.milestone
                 where m.contract in {_MINE} order by s.id""",
    ),
    "time_weeks": Section(
        columns=(),
        sql=f"""select id, contract as contract_id, monday, status, closed_at, approved_at
                  from time_weeks where contract in {_MINE} order by id""",
    ),
    "time_entries": Section(
        columns=("time_entries.freelancer",),
        sql=f"""select id, contract as contract_id, week as week_id, freelancer = $1 as yours, started_at, ended_at,
                       description, is_billable, is_capped, status, reason, created_at, updated_at
                  from time_entries where contract in {_MINE} order by id""",
    ),
    # What the other party wrote is theirs until it is shown.
    "reviews": Section(
        columns=("reviews.reviewer", "reviews.reviewee"),
        sql="""select id, contract as contract_id, reviewer = $1 as yours, rating, comment, status, response,
                      created_at, shown_at, responded_at from reviews
                where reviewer = $1 or (reviewee = $1 and status = 'shown') order by id""",
    ),
    "conversations": Section(
        columns=("conversations.low", "conversations.high", "conversation_members.user"),
        sql="""select c.id, o.first_name || ' ' || o.last_name as other_person, c.last_seq, m.read_seq, c.last_at,
                      c.created_at
                 from conversations c join users o on o.id = case when c.low = $1 then c.high else c.low end
                      left join conversation_members m on m.conversation = c.id and m."user" = $1
                where c.low = $1 or c.high = $1 order by c.id""",
    ),
    "messages": Section(
        columns=("messages.sender", "messages.receiver"),
        sql="""select id, conversation as conversation_id, seq, sender = $1 as yours,
                      case when deleted_at is null then content end as content, project as project_id, attachment_ids,
                      created_at, edited_at, deleted_at, read_at
                 from messages where sender = $1 or receiver = $1 order by id""",
    ),
    "blocks": Section(
        columns=("user_blocks.blocker",),
        sql="""select id, blocked as blocked_id, created_at from user_blocks where blocker = $1 order by id""",
    ),
    "support_tickets": Section(
        columns=("support_tickets.user",),
        sql="""select id, subject, category, priority, status, first_response_at, resolved_at, created_at, closed_at
                 from support_tickets where "user" = $1 order by id""",
    ),
    "support_replies": Section(
        columns=("support_replies.author",),
        sql="""select r.id, r.ticket as ticket_id, r.author = $1 as yours, r.message, r.created_at
                 from support_replies r join support_tickets t on t.id = r.ticket
                where r.author = $1 or t."user" = $1 order by r.id""",
    ),
    "invoices": Section(
        columns=("invoices.seller", "invoices.buyer"),
        sql="""select id, kind, contract as contract_id, milestone as milestone_id, seller_name, buyer_name,
                      description, amount_minor, currency, issued_at, year, number
                 from invoices where seller = $1 or buyer = $1 order by id""",
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
    "favorites.freelancer": "whom others keep in mind is theirs to know",
    "user_blocks.blocked": "who does not want to be written to by whom is the other one's to tell",
    "disputes.assignee": "an admin's work; what an admin did stands in the audit log",
    "disputes.decided_by": "likewise",
    "support_tickets.assignee": "likewise",
    "queue_pauses.paused_by": "a switch of the machinery that an admin pressed; the audit log has it",
}
"""Columns that name a person and are in no export, each with its reason; a test finds one that is in neither list."""
