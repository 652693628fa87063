"""People with a past: everything the service can know of somebody, so that exports and erasure have all of it to find."""

from typing import Any, Final

from models import guard, mail, notifications, security, sessions
from models.accounts import Person
from models.base import uuid7
from models.contracts import ContractRow
from models.letters import MailKind
from models.notifications import NotificationType
from models.security import SecurityEventKind
from models.visitors import Place, Visitor
from tests import factories

IP: Final = "203.0.113.77"
PHONE: Final = "+4915112345678"
NEW_ADDRESS: Final = "zelda.new@elsewhere.example"
AGENT: Final = "Zeldabrowser/9 (Unheardof)"
VISITOR: Final = Visitor(user_agent=AGENT, ip_address=IP, place=Place(country="DE", city="Zeldahausen"))

ROWS: Final = {
    "mfa_methods": """insert into mfa_methods ("user", method, name, contact, secret_sealed, confirmed_at)
                      values ($1, 'sms', 'Zeldaphone', '+4915112345678', 'sealed-seed', now())""",
    "backup_codes": """insert into backup_codes ("user", batch, code_hash, live)
                       values ($1, gen_random_uuid(), 'hash-of-a-code', true)""",
    "security_codes": """insert into security_codes ("user", method, purpose, contact)
                         values ($1, 'sms', 'step_up', '+4915112345678')""",
    "idempotency_keys": """insert into idempotency_keys (user_id, route, key, request_hash)
                           values ($1, '/api/x', 'k', '\\x00')""",
    "exports": """insert into exports ("user", content, sha256, ready_at, expires_at)
                  values ($1, 'PK', 'digest', now(), now() + interval '7 days')""",
    "uploads": """insert into uploads ("user", purpose, filename, content_type, size_bytes, object_key, status)
                  values ($1, 'evidence', 'zelda-zimmer.pdf', 'application/pdf', 1, 'test/kept/evidence/x', 'ready')""",
    "notification_preferences": """insert into notification_preferences ("user", category, email)
                                   values ($1, 'projects', false)""",
}


async def zelda() -> Person:
    """A freelancer with a past, whose name, addresses, phone and IP occur nowhere else."""
    person = await factories.a_person(
        factories.Role.FREELANCER, first_name="Zelda", last_name="Zimmer", payouts_ready=True
    )
    await guard.rows(
        """update users set headline = 'Zelda makes shops', about = 'I, Zelda Zimmer, ...', country = 'DE',
                  time_zone = 'Europe/Berlin', password_hash = 'hash-of-zelda', onboarding_sealed = 'sealed-link'
            where id = $1""",
        person.id,
    )
    for sql in ROWS.values():
        await guard.rows(sql, person.id)
    await guard.rows(
        """insert into sign_in_tickets (id, "user", methods, user_agent, ip_address, city)
           values ($1, $2, '{sms}', $3, $4, 'Zeldahausen')""",
        uuid7(), person.id, AGENT, IP,
    )  # fmt: skip
    await guard.rows(
        """insert into passkey_challenges (id, "user", purpose, challenge) values ($1, $2, 'enrol', 'x')""",
        uuid7(), person.id,
    )  # fmt: skip
    await guard.commit(sessions.begin, person.id, person.role, VISITOR, proved=True)
    await guard.commit(security.note, person.id, SecurityEventKind.SIGNED_IN, VISITOR, {"ip": IP})
    await guard.commit(mail.write, MailKind.EMAIL_CHANGE, to=person.id, about="a change", address=NEW_ADDRESS)
    await guard.commit(_sign_in_mail, person.id)
    await guard.commit(
        notifications.tell, person.id, type=NotificationType.PAYOUTS_READY, title="For Zelda", message=".", data={}
    )
    return person


async def _sign_in_mail(user_id: int) -> None:
    at = await guard.value("select now()")
    context: dict[str, Any] = {"at": at, "ip_address": IP, "device": AGENT, "place": "Zeldahausen, DE"}
    await mail.write(MailKind.NEW_SIGN_IN, to=user_id, about="a sign-in", **context)


async def ended(contract: ContractRow) -> None:
    """The contract is over: its work was done and paid for."""
    await guard.rows("update contracts set status = 'completed', completed_at = now() where id = $1", contract.id)
    await guard.rows("update milestones set status = 'released' where contract = $1", contract.id)
    await guard.rows("update projects set status = 'completed' where id = $1", contract.project_id)


# Of a contract ($1 the contract, $2 the person, $3 the other party): a row of theirs in every table of the market.
MARKET_ROWS: Final = {
    "project_invitations": """insert into project_invitations (project, freelancer, message)
        select project, freelancer, 'Please, Zelda' from contracts where id = $1 and $2 <> $3""",
    "saved_searches": """insert into saved_searches ("user", name) select $2, 'Zelda seeks' where $1 <> $3""",
    "saved_search_matches": """insert into saved_search_matches (search, project)
        select s.id, c.project from saved_searches s, contracts c where c.id = $1 and s."user" = $2 and $2 <> $3""",
    "favorites": """insert into favorites ("user", freelancer) values ($2, case when $1 > 0 then $3 end), ($3, $2)""",
    "portfolio_items": """insert into portfolio_items ("user", title, description)
        select $2, 'By Zelda', 'Zelda made it' where $1 <> $3""",
    "uploads": """insert into uploads ("user", purpose, filename, content_type, size_bytes, object_key, status)
        select $2, purpose, 'zelda.png', 'image/png', 9, purpose || ':' || $1 || $3, status
          from (values ('avatar', 'ready'), ('portfolio', 'awaiting'), ('deliverable', 'ready')) f (purpose, status)""",
    "counter_offers": """insert into counter_offers (proposal, author, bid_minor, delivery_days, message)
        select proposal, $2, 100, 1, 'Less' from contracts where id = $1 and $2 <> $3""",
    "refund_requests": """insert into refund_requests (milestone, client, amount_minor, currency, reason, status)
        select m.id, c.client, 100, 'USD', 'Late', 'declined' from milestones m join contracts c on c.id = m.contract
         where c.id = $1 and $2 <> $3""",
    "settlements": """insert into settlements (milestone, cause, cause_id, freelancer_minor, client_minor, currency, status)
        select id, 'dispute', 1, 1, 1, 'USD', 'done' from milestones where contract = $1 and $2 <> $3""",
    "time_weeks": """insert into time_weeks (contract, monday, status)
        select $1, date '2026-11-16', 'billed' where $2 <> $3""",
    "time_entries": """insert into time_entries (contract, project, freelancer, week, started_at, ended_at, description, status)
        select c.id, c.project, c.freelancer, w.id, '2026-11-17 10:00Z', '2026-11-17 11:00Z', 'Work', 'invoiced'
          from contracts c join time_weeks w on w.contract = c.id where c.id = $1 and $2 <> $3""",
    "disputes": """insert into disputes (milestone, opener, other_party, reason, description, status)
        select id, $2, $3, 'late', 'Late', 'closed' from milestones where contract = $1""",
    "dispute_evidence": """insert into dispute_evidence (dispute, author, note)
        select max(id), $2, 'See' from disputes where $1 <> $3""",
    "reviews": """insert into reviews (contract, reviewer, reviewee, rating, comment)
        values ($1, $2, $3, 5, 'Mine, hidden'), ($1, $3, $2, 4, 'Theirs, hidden')""",
    "conversations": "insert into conversations (low, high, last_seq) select least($2, $3), greatest($2, $3), 2 where $1 > 0",
    "conversation_members": """insert into conversation_members (conversation, "user")
        select id, $2 from conversations where $1 <> $3""",
    "messages": """insert into messages (conversation, seq, sender, receiver, content)
        select c.id, seq, case seq when 1 then $2::bigint else $3 end, case seq when 1 then $3::bigint else $2 end,
               'Message ' || seq from conversations c, generate_series(1, 2) seq where $1 > 0""",
    "user_blocks": "insert into user_blocks (blocker, blocked) select $2, $3 where $1 > 0",
    "support_tickets": """insert into support_tickets ("user", subject, category, first_response_due_at, resolution_due_at)
        select $2, 'Zelda asks', 'other', now(), now() where $1 <> $3""",
    "support_replies": """insert into support_replies (ticket, author, message)
        select max(id), $2, 'I am Zelda' from support_tickets where $1 <> $3""",
    "invoices": """insert into invoices (kind, contract, milestone, seller, seller_name, buyer, buyer_name, description,
                                          amount_minor, currency)
        select 'work', $1, m.id, $2, 'A seller', $3, 'A buyer', 'Work', 100, 'USD' from milestones m
         where m.contract = $1""",
}


async def dealt(contract: ContractRow, person: Person) -> None:
    """Somebody used everything there is under this contract."""
    for sql in MARKET_ROWS.values():
        typed = sql.replace("$1", "$1::bigint").replace("$2::bigint", "$2").replace("$2", "$2::bigint")
        typed = typed.replace("$3", "$3::bigint")
        await guard.rows(typed, contract.id, person.id, contract.other_party(person.id))
