"""Leaving: refused while anything is under way, whole when it is not, and nothing of the person is found afterwards."""

import asyncio
from typing import Any

import pytest

from models import accounts, contracts, erasure, guard, projects
from models.accounts import Role
from models.contracts import ContractRow
from models.errors import AccountInUse, WrongState
from models.mail import MailKind
from models.projects import Sought
from tests import factories
from tests.leaving import AGENT, IP, NEW_ADDRESS, PHONE, VISITOR, ended, zelda

# Every column of every table as text. Partitions are read through their parents.
COLUMNS = """
select c.table_name, c.column_name from information_schema.columns c
  join pg_class t on t.oid = format('public.%I', c.table_name)::regclass
 where c.table_schema = 'public' and t.relkind in ('r', 'p') and not t.relispartition
   and c.data_type in ('text', 'jsonb', 'ARRAY', 'character varying', 'bytea') and c.table_name <> 'migration'
"""


async def occurrences(*sought: str) -> set[str]:
    """Where any of these stands in the whole database, without case."""
    found: set[str] = set()
    for table, column in [tuple(one) for one in await guard.rows(COLUMNS)]:
        hits = await guard.value(
            f"""select count(*) from "{table}" where exists (
                    select 1 from unnest($1::text[]) s where strpos(lower("{column}"::text), lower(s)) > 0)""",
            list(sought),
        )
        found |= {f"{table}.{column}"} if hits else set()
    return found


async def counts() -> dict[str, int]:
    """How many rows each table has that others or the books need."""
    kept = ("users", "contracts", "milestones", "payments", "releases", "journals", "postings", "proposals", "projects")
    return {table: await guard.value(f"select count(*) from {table}") for table in kept}


async def a_past_contract(**parties: Any) -> ContractRow:
    contract = await factories.a_contract(**parties)
    await ended(contract)
    return contract


async def test_nothing_of_an_erased_person_is_found_anywhere(database: str) -> None:
    person = await zelda()
    client = await factories.a_client()
    contract = await a_past_contract(client=client, freelancer=person)
    await factories.a_proposal(await factories.a_project(client), person)
    await guard.rows("update proposals set cover_letter = 'Zelda here.' where id <> $1", contract.proposal_id)
    sought = ("zelda", "zimmer", person.email, PHONE, IP, NEW_ADDRESS, AGENT)
    before, places = await counts(), await occurrences(*sought)
    assert {"users.email", "sessions.ip_address", "mails.context", "notifications.message", "events.payload"} <= places

    await guard.commit(erasure.erase, person.id)

    assert await occurrences(*sought) == set()
    assert await counts() == before
    # Not even sealed or hashed.
    assert await occurrences("hash-of", "sealed-") == set()


async def test_nothing_of_an_erased_client_is_found_anywhere(database: str) -> None:
    client = await factories.a_person(Role.CLIENT, first_name="Quentin", last_name="Quast")
    freelancer = await factories.a_freelancer()
    await a_past_contract(client=client, freelancer=freelancer)
    draft = await factories.a_project(client, open=False)
    await guard.rows("update projects set description = 'Quentin wants it' where id = $1", draft.id)
    assert {"mails.context", "notifications.message"} <= await occurrences("quentin")

    await guard.commit(erasure.erase, client.id)

    assert await occurrences("quentin", "quast") == set()
    assert (await projects.read(draft.id, user_id=client.id, admin=True)).title == "Deleted project"


async def test_another_person_of_the_same_name_keeps_it(database: str) -> None:
    contract = await a_past_contract()
    other = await a_past_contract()

    await guard.commit(erasure.erase, contract.freelancer_id)

    kept = await guard.rows(
        """select (context->>'contract_id')::bigint as id, context->>'other_name' as name from mails
            where kind = 'contract_created' and context->>'other_name' <> 'Clara Client' order by id"""
    )
    assert {one["id"]: one["name"] for one in kept} == {
        contract.id: "Deleted user",
        other.id: "Frida Freelancer",
    }
    messages = await guard.rows("""select message from notifications where type = 'contract_signed' order by id""")
    assert sum("Deleted user" in one["message"] for one in messages) == 1
    assert sum("Frida Freelancer" in one["message"] for one in messages) == 1


async def test_the_other_side_still_has_the_contract(database: str) -> None:
    contract = await a_past_contract()

    await guard.commit(erasure.erase, contract.freelancer_id)

    seen = await contracts.read(contract.id, user_id=contract.client_id, admin=False)
    assert (seen.freelancer_name, seen.title, seen.amount) == ("Deleted user", contract.title, contract.amount)


async def test_an_erased_address_may_register_anew_and_the_old_account_is_none(database: str) -> None:
    person = await zelda()

    await guard.commit(erasure.erase, person.id)

    assert await accounts.read_credentials(person.email) is None
    assert await accounts.read_hash(person.id) == ""
    again = await guard.commit(
        accounts.register, email=person.email, password_hash="x", first_name="Z", last_name="Z", role=Role.CLIENT
    )
    assert again.id != person.id
    row = await guard.only(
        "select email, erased_at, deactivated_at, stripe_account_id from users where id = $1", person.id
    )
    assert row["email"] == f"erased-{person.id}@erased.invalid"
    assert row["erased_at"] == row["deactivated_at"] is not None
    assert row["stripe_account_id"] == person.stripe_account_id, "the books and Stripe need it"


async def test_an_erasure_ends_sessions_and_leaves_one_line_in_the_audit_log(database: str) -> None:
    person = await zelda()

    await asyncio.gather(*(guard.commit(erasure.erase, person.id) for _ in range(4)))

    assert await guard.value("select count(*) from sessions where revoked_at is null") == 0
    (line,) = await guard.rows("select actor_id, action, subject_id, details::text from audit_log")
    assert tuple(line) == (person.id, "account.erased", str(person.id), "{}")
    assert await guard.value("select count(*) from mails where status = 'queued'") == 0


IN_USE = {
    "a contract": ("update contracts set status = 'active'", "contracts that have not ended: 1"),
    "an unsigned contract": ("update contracts set status = 'pending_signature'", "contracts that have not ended: 1"),
    "money": ("update milestones set status = 'funded'", "milestones with money on them: 1"),
    "a release that runs": ("update milestones set status = 'releasing'", "milestones with money on them: 1"),
    "a payment": (
        """insert into payments (milestone, payer, amount_minor, currency, payment_method_id, status, expires_at)
           select m.id, c.client, 100, 'USD', 'pm', 'requires_capture', now()
             from milestones m join contracts c on c.id = m.contract""",
        "payments that have not ended: 1",
    ),
    "a release": (
        """with paid as (
               insert into payments (milestone, payer, amount_minor, currency, payment_method_id, status, expires_at)
               select m.id, c.client, 100, 'USD', 'pm', 'succeeded', now()
                 from milestones m join contracts c on c.id = m.contract returning id, milestone)
           insert into releases (milestone, payment, gross_minor, fee_minor, net_minor, currency, status)
           select milestone, id, 100, 10, 90, 'USD', 'begun' from paid""",
        "releases whose money has not left: 1",
    ),
}


@pytest.mark.parametrize("party", ["client", "freelancer"])
@pytest.mark.parametrize("verb", [erasure.deactivate, erasure.erase])
@pytest.mark.parametrize("case", list(IN_USE))
async def test_nobody_leaves_while_something_is_under_way(database: str, case: str, verb: Any, party: str) -> None:
    contract = await a_past_contract()
    sql, words = IN_USE[case]
    await guard.rows(sql)
    leaving = contract.client_id if party == "client" else contract.freelancer_id
    before = await guard.only("select * from users where id = $1", leaving)

    with pytest.raises(AccountInUse) as refusal:
        await guard.commit(verb, leaving)

    assert words in refusal.value.detail
    assert await guard.only("select * from users where id = $1", leaving) == before
    assert await guard.value("select count(*) from audit_log") == 0


async def test_money_that_waits_for_an_account_is_the_freelancers_business_and_not_the_clients(database: str) -> None:
    contract = await a_past_contract()
    await guard.rows(IN_USE["a release"][0])
    await guard.rows("update releases set status = 'completed'")

    await guard.commit(erasure.deactivate, contract.client_id)
    with pytest.raises(AccountInUse, match="releases whose money has not left: 1"):
        await guard.commit(erasure.deactivate, contract.freelancer_id)
    await guard.rows("update releases set transfer_id = 'tr_1'")
    await guard.commit(erasure.deactivate, contract.freelancer_id)


async def test_a_balance_or_a_project_in_progress_keeps_its_owner(database: str) -> None:
    client = await factories.a_client()
    project = await factories.a_project(client)
    await guard.rows("update projects set status = 'in_progress' where id = $1", project.id)

    with pytest.raises(AccountInUse, match="projects in progress: 1"):
        await guard.commit(erasure.erase, client.id)

    await guard.rows("update projects set status = 'completed' where id = $1", project.id)
    await guard.commit(_paid, client.id)
    with pytest.raises(AccountInUse, match="balances that are yours: 1"):
        await guard.commit(erasure.erase, client.id)


async def _paid(user_id: int) -> None:
    made = await guard.value(
        "insert into journals (key, kind, subject, effective_at) values ('k', 'test', 's', now()) returning id"
    )
    for account, amount in ((f"user:{user_id}:available", 5), ("world:stripe", -5)):
        await guard.rows(
            "insert into postings (journal, account, asset, amount) values ($1, $2, 'USD', $3)", made, account, amount
        )


async def test_a_deactivated_account_is_hidden_and_told_so_and_may_come_back(database: str) -> None:
    person = await zelda()

    await asyncio.gather(*(guard.commit(erasure.deactivate, person.id, VISITOR) for _ in range(4)))

    assert await guard.value("select count(*) from sessions where revoked_at is null") == 0
    events = await guard.rows("select kind, ip_address from security_events order by id")
    assert [tuple(one) for one in events] == [("signed_in", IP), ("account_deactivated", IP)]
    assert [one["action"] for one in await guard.rows("select action from audit_log")] == ["account.deactivated"]
    mails = "select count(*) from mails where kind = $1"
    assert await guard.value(mails, MailKind.ACCOUNT_DEACTIVATED.value) == 1
    assert (await accounts.read(person.id)).email == person.email
    # Back, and away once more: there is a mail for each time.
    await guard.rows("update users set deactivated_at = null")
    await guard.commit(erasure.deactivate, person.id)
    assert await guard.value(mails, MailKind.ACCOUNT_DEACTIVATED.value) == 2
    await guard.commit(erasure.erase, person.id)


async def test_what_a_client_who_left_had_on_the_market_is_found_and_bid_for_by_nobody(database: str) -> None:
    client, freelancer = await factories.a_client(), await factories.a_freelancer()
    project, draft = await factories.a_project(client), await factories.a_project(client, open=False)
    other = await factories.a_project()

    await guard.commit(erasure.deactivate, client.id)

    assert [one.id for one in await projects.list_open(Sought(), before=None, limit=9)] == [other.id]
    assert (await projects.read(project.id, user_id=client.id, admin=False)).status.value == "closed"
    assert (await projects.read(draft.id, user_id=client.id, admin=False)).status.value == "draft"
    with pytest.raises(WrongState, match="closed"):
        await factories.a_proposal(project, freelancer)


async def test_the_offers_of_a_freelancer_who_left_are_withdrawn_and_no_others(database: str) -> None:
    freelancer = await factories.a_freelancer()
    project = await factories.a_project()
    mine = await factories.a_proposal(project, freelancer)
    other = await factories.a_proposal(project)

    await guard.commit(erasure.deactivate, freelancer.id)

    status = {one["id"]: one["status"] for one in await guard.rows("select id, status from proposals")}
    assert status == {mine.id: "withdrawn", other.id: "submitted"}
    told = "select count(*) from events where name = 'proposal_update' and payload->>'status' = 'withdrawn'"
    assert await guard.value(told) == 2


async def test_an_acceptance_and_a_farewell_at_once_end_in_one_of_the_two(database: str) -> None:
    from models import acceptance

    for _ in range(6):
        freelancer = await factories.a_freelancer()
        project = await factories.a_project()
        proposal = await factories.a_proposal(project, freelancer)
        accepted, left = await asyncio.gather(
            guard.commit(acceptance.accept, proposal.id, client_id=project.client_id, policy=factories.POLICY),
            guard.commit(erasure.deactivate, freelancer.id),
            return_exceptions=True,
        )
        assert isinstance(accepted, Exception) != isinstance(left, Exception), (accepted, left)
