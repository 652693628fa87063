"""Leaving: refused while anything is under way, whole when it is not, and nothing of the person is found afterwards."""

import asyncio
from typing import Any

import pytest

from models import accounts, contracts, erasure, guard, projects
from models.accounts import Role
from models.contracts import ContractRow
from models.errors import AccountInUse, WrongState
from models.letters import MailKind
from models.projects import Sought
from tests import factories, worlds
from tests.leaving import AGENT, IP, NEW_ADDRESS, PHONE, VISITOR, dealt, ended, zelda

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
    kept = (
        "users", "contracts", "milestones", "payments", "releases", "journals", "postings", "proposals", "projects",
        "reviews", "disputes", "dispute_evidence", "refund_requests", "settlements", "time_entries", "time_weeks",
        "messages", "conversations", "invoices", "support_tickets", "support_replies", "counter_offers",
        "project_invitations",
    )  # fmt: skip
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
    await dealt(contract, person)
    # Her client asked her in, and a second one heard of her in a chat.
    await guard.rows("update project_invitations set message = 'Please.'")
    await guard.rows(
        "update users set skills = '{Zeldaing}', hourly_rate_minor = 1, rate_currency = 'USD' where id = $1", person.id
    )
    sought = ("zelda", "zimmer", person.email, PHONE, IP, NEW_ADDRESS, AGENT)
    before, places = await counts(), await occurrences(*sought)
    assert {"users.email", "sessions.ip_address", "mails.context", "notifications.message", "events.payload"} <= places
    assert {"portfolio_items.title", "saved_searches.name", "uploads.filename", "support_replies.message"} <= places

    await guard.commit(erasure.erase, person.id)

    assert await occurrences(*sought) == set()
    assert await counts() == before
    # Not even sealed or hashed.
    assert await occurrences("hash-of", "sealed-") == set()


async def test_what_others_own_too_stays_and_what_one_kept_alone_goes(database: str) -> None:
    person = await zelda()
    contract = await a_past_contract(freelancer=person)
    await dealt(contract, person)

    await guard.commit(erasure.erase, person.id)

    for gone in ("saved_searches", "saved_search_matches", "favorites", "portfolio_items", "user_blocks"):
        assert await guard.value(f"select count(*) from {gone}") == 0
    assert [one["content"] for one in await guard.rows("select content from messages order by seq")] == [
        "Message 1", "Message 2",
    ]  # fmt: skip
    assert await guard.value("select seller_name from invoices") == "A seller"
    files = await guard.rows("select purpose, filename from uploads order by 1")
    assert [tuple(one) for one in files] == [("deliverable", "file.png"), ("evidence", "file.pdf")]
    assert {one["comment"] for one in await guard.rows("select comment from reviews")} == {
        "Mine, hidden", "Theirs, hidden",
    }  # fmt: skip


async def test_a_name_is_forgotten_in_what_was_told_of_invitations_proposals_chats_and_reviews(database: str) -> None:
    from models import mail, notifications
    from models.notifications import NotificationType

    client = await factories.a_person(Role.CLIENT, first_name="Quentin", last_name="Quast")
    freelancer = await factories.a_freelancer()
    contract = await a_past_contract(client=client, freelancer=freelancer)
    proposal = await factories.a_proposal(await factories.a_project(client), freelancer)
    await dealt(contract, client)
    chat = await guard.value("select id from conversations")
    about: dict[str, Any] = {"to": freelancer.id, "project_title": "A shop"}
    money: dict[str, Any] = {"bid_minor": 1, "currency": "USD", "delivery_days": 1}
    ids = {"project_id": proposal.project_id, "proposal_id": proposal.id}

    async def tell() -> None:
        await mail.write(
            "invitation_received", about="i:1", project_id=contract.project_id, client_name="Quentin Quast", **about
        )
        await mail.write("counter_offer_received", about="c:1", other_name="Quentin Quast", **ids, **money, **about)
        await mail.write(
            "review_received", about="r:1", contract_id=contract.id, review_id=1, reviewer_name="Quentin Quast",
            rating=5, **about,
        )  # fmt: skip
        await mail.write(
            "message_received",
            to=freelancer.id,
            about="m:1",
            conversation_id=chat,
            sender_name="Quentin Quast",
            unread=1,
        )
        for data in (ids, {"conversation_id": chat}, {"project_id": contract.project_id}, {"contract_id": contract.id}):
            await notifications.tell(
                freelancer.id,
                type=NotificationType.REVIEW_RECEIVED,
                title="New",
                message="Of Quentin Quast.",
                data=data,
            )

    await guard.commit(tell)
    await guard.rows("update project_invitations set message = 'Quentin asks'")
    assert {"mails.context", "notifications.message", "project_invitations.message"} <= await occurrences("quentin")

    await guard.commit(erasure.erase, client.id)

    assert await occurrences("quentin", "quast") == set()
    assert "Of Deleted user." in {one["message"] for one in await guard.rows("select message from notifications")}


async def test_who_proposed_to_somebody_who_left_is_answered(database: str) -> None:
    client = await factories.a_client()
    first, second = await factories.a_project(client), await factories.a_project(client)
    # Offers for both in turn, so that their numbers are interleaved.
    offers = [await factories.a_proposal(project) for project in (first, second, first, second)]
    await guard.rows("update proposals set status = 'shortlisted' where id = $1", offers[2].id)
    await guard.rows("update proposals set status = 'withdrawn' where id = $1", offers[3].id)
    await guard.rows(
        """insert into counter_offers (proposal, author, bid_minor, delivery_days, message)
           values ($1, $2, 5, 5, 'Less')""",
        offers[0].id,
        client.id,
    )

    await guard.commit(erasure.deactivate, client.id)

    status = {one["id"]: one["status"] for one in await guard.rows("select id, status from proposals")}
    assert [status[one.id] for one in offers] == ["rejected", "rejected", "rejected", "withdrawn"]
    for offer in offers[:3]:
        assert (await worlds.told(offer.freelancer_id))[-1] == "proposal_rejected"
        last = (await worlds.heard(f"user:{offer.freelancer_id}"))[-2]
        assert last == (
            "proposal_update",
            {"proposal_id": offer.id, "project_id": offer.project_id, "status": "rejected"},
        )
    assert await worlds.told(offers[3].freelancer_id) == []
    assert await guard.value("select status from counter_offers") == "superseded"


async def test_terms_for_an_offer_of_who_left_are_withdrawn_with_it(database: str) -> None:
    proposal = await factories.a_proposal()
    await guard.rows(
        """insert into counter_offers (proposal, author, bid_minor, delivery_days, message)
           values ($1, $2, 5, 5, 'Less')""",
        proposal.id,
        proposal.client_id,
    )

    await guard.commit(erasure.deactivate, proposal.freelancer_id)

    assert await guard.value("select status from counter_offers") == "withdrawn"


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
    "work that is contested": ("update milestones set status = 'disputed'", "milestones with money on them: 1"),
    "a dispute": (
        """insert into disputes (milestone, opener, other_party, reason, description, status)
           select m.id, c.client, c.freelancer, 'late', '.', 'resolved'
             from milestones m join contracts c on c.id = m.contract""",
        "disputes that are not closed: 1",
    ),
    "a week": (
        """insert into time_weeks (contract, monday, status) select id, '2026-11-16', 'in_review' from contracts""",
        "weeks in review: 1",
    ),
    "a refund request": (
        """insert into refund_requests (milestone, client, amount_minor, currency, reason)
           select m.id, c.client, 1, 'USD', '.' from milestones m join contracts c on c.id = m.contract""",
        "refund requests without an answer: 1",
    ),
    "a settlement": (
        """insert into settlements (milestone, cause, cause_id, freelancer_minor, client_minor, currency)
           select id, 'dispute', 1, 1, 1, 'USD' from milestones""",
        "settlements whose money has not moved: 1",
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


@pytest.mark.parametrize("case", list(IN_USE))
async def test_nobody_leaves_while_something_is_under_way(database: str, case: str) -> None:
    contract = await a_past_contract()
    sql, words = IN_USE[case]
    await guard.rows(sql)

    for leaving in (contract.client_id, contract.freelancer_id):
        for verb in (erasure.deactivate, erasure.erase):
            async with worlds.refused(AccountInUse, words):
                await guard.commit(verb, leaving)
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
