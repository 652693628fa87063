"""People with a past: everything the service can know of somebody, so that exports and erasure have all of it to find."""

from typing import Any, Final

from models import guard, mail, notifications, security, sessions
from models.accounts import Person
from models.base import uuid7
from models.contracts import ContractRow
from models.mail import MailKind
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
