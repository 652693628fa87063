"""A small world with everything in it that a route can be asked about, made once and cloned for each cell."""

from typing import Any
from uuid import UUID

import msgspec

from models import guard, passwords, people, sessions
from models.accounts import Person
from models.jobs import JobStatus
from models.ledger import accounts as ledger
from models.ledger.posting import post
from models.milestones import MilestoneRow, MilestoneStatus
from models.sessions import SignIn
from models.tickets import Purpose
from tests import factories
from tests.access import areas, keys
from tests.access.keys import Ceremony, Link, Protected
from tests.access.who import Who
from tests.queued import a_dead_job, a_job
from wire.passwords import hash_password

PASSWORD = "SecurePass123!"


class World(msgspec.Struct, frozen=True, kw_only=True):
    """People by their column, a session each, and the ids of the client's things; then people who are acted upon.

    The client has second factors and has proved one, the freelancer is about to have one, the others have none.
    """

    people: dict[Who, Person]
    sessions: dict[Who, SignIn]
    factors: Protected
    enrolling_seed: str
    new_passkey: dict[str, Any]
    step_up: Ceremony
    other_session: UUID
    export: int
    owner: int
    other_party: int

    spare_session: SignIn
    verification: Link
    reset: Link
    guarded: Protected
    tickets: dict[str, UUID]
    sign_in: Ceremony
    bystander: int
    shut_out: int

    draft: int
    open_project: int
    proposal: int
    unsigned: int
    contract: int
    pending: int
    funded: int
    submitted: int
    notification: int
    job: UUID
    dead_job: UUID
    hopeless_job: UUID
    queued_job: UUID

    more: dict[str, Any]
    """What the areas of the market added, by name."""


async def make_world() -> World:
    """Write it all into the present database."""
    known = await _people()
    owner = known[Who.CLIENT]
    fields = {**await _theirs(known), **await _market(owner, known[Who.FREELANCER]), **await _others(known[Who.ADMIN])}
    more: dict[str, Any] = {}
    for area in areas.ALL:
        more |= await area.make(known, fields)
    return World(people=known, verification=await keys.verification(known[Who.UNVERIFIED]), more=more, **fields)


async def _people() -> dict[Who, Person]:
    """Somebody for each column; all of them can sign in with PASSWORD."""
    made = {
        Who.UNVERIFIED: await factories.a_client(verified=False),
        Who.CLIENT: await factories.a_client(),
        Who.FREELANCER: await factories.a_freelancer(),
        Who.STRANGER: await factories.a_client(),
        Who.ADMIN: await factories.an_admin(),
    }
    await let_in(*made.values())
    return made


async def let_in(*them: Person) -> None:
    """Let these people sign in with PASSWORD."""
    password_hash = await hash_password(passwords.check(PASSWORD))
    ids = [one.id for one in them]
    await guard.rows("update users set password_hash = $1 where id = any($2::bigint[])", password_hash, ids)


async def prove_for_long(person: Person) -> None:
    """As if this person proved a second factor all the time, in every session there is."""
    await guard.rows("""update sessions set proved_at = now() + interval '1 day' where "user" = $1""", person.id)


async def _theirs(known: dict[Who, Person]) -> dict[str, Any]:
    """Factors, sessions and what goes with them, of the people in the columns."""
    owner = known[Who.CLIENT]
    protected = await keys.protect(owner)
    enrolling = await keys.begin_with_an_app(known[Who.FREELANCER])
    begun = {
        who: await guard.commit(sessions.begin, one.id, one.role, proved=who in (Who.CLIENT, Who.ADMIN))
        for who, one in known.items()
    }
    other = await guard.commit(sessions.begin, owner.id, owner.role)
    await prove_for_long(owner)
    return {
        "sessions": begun,
        "factors": protected,
        "enrolling_seed": enrolling,
        "new_passkey": await keys.a_new_passkey(owner),
        "step_up": await keys.asked_to_sign(owner, protected.passkey, Purpose.STEP_UP, None),
        "other_session": other.session_id,
        "export": await keys.an_export(owner),
        "owner": owner.id,
        "other_party": known[Who.FREELANCER].id,
    }


async def _others(admin: Person) -> dict[str, Any]:
    """People who stand in no column: half signed in, forgetful, looked at, shut out."""
    half_in, forgetful, bystander, shut_out = [await factories.a_client() for _ in range(4)]
    await let_in(half_in, forgetful)
    guarded = await keys.protect(half_in)
    opened = {name: await keys.a_ticket(half_in) for name in ("code", "begun", "passkey")}
    await guard.commit(people.suspend, shut_out.id, "A test.", by=admin.id)
    return {
        "spare_session": await guard.commit(sessions.begin, bystander.id, bystander.role),
        "reset": await keys.reset(forgetful),
        "guarded": guarded,
        "tickets": opened,
        "sign_in": await keys.asked_to_sign(half_in, guarded.passkey, Purpose.SIGN_IN, opened["passkey"]),
        "bystander": bystander.id,
        "shut_out": shut_out.id,
    }


async def _market(owner: Person, freelancer: Person) -> dict[str, Any]:
    """The client's project, contract, milestones and jobs."""
    contract = await factories.a_contract(owner, freelancer)
    submitted = await factories.a_milestone(contract, status=MilestoneStatus.SUBMITTED)
    await _paid(submitted, owner)
    offered = await factories.a_project(owner)
    return {
        "draft": (await factories.a_project(owner, open=False)).id,
        "open_project": (await factories.a_project(owner)).id,
        "proposal": (await factories.a_proposal(offered, freelancer)).id,
        "unsigned": (await factories.a_contract(owner, freelancer, signed=False)).id,
        "contract": contract.id,
        "pending": (await factories.a_milestone(contract, amount="50.00")).id,
        "funded": (await factories.a_milestone(contract, amount="60.00", status=MilestoneStatus.FUNDED)).id,
        "submitted": submitted.id,
        "notification": await guard.value("""select max(id) from notifications where "user" = $1""", owner.id),
        "job": await a_job(JobStatus.SUCCEEDED, caller_id=owner.id),
        "dead_job": await a_dead_job(caller_id=owner.id),
        "hopeless_job": await a_dead_job(caller_id=owner.id),
        "queued_job": await a_job(JobStatus.QUEUED, kind="upkeep.tend_partitions", caller_id=owner.id),
    }


async def _paid(milestone: MilestoneRow, payer: Person) -> None:
    """The money of a milestone that was walked to its state, as a funding would have left it."""
    minor = milestone.amount.minor
    await guard.rows(
        """insert into payments (milestone, payer, amount_minor, currency, payment_method_id, rail, status, intent_id,
                                 expires_at)
           values ($1, $2, $3, 'USD', 'pm_card_visa', 'captured', 'succeeded', 'pi_world', now())""",
        milestone.id,
        payer.id,
        minor,
    )

    async def fund() -> None:
        moves = {ledger.milestone(milestone.id): minor, ledger.STRIPE: -minor}
        await post("fund:world", kind="fund", subject=f"milestone:{milestone.id}", moves=moves, currency="USD")

    await guard.commit(fund)
