"""Projects held against the searches that people keep: whoever waits for one like it hears of it, once.

A row for each search that fits is what makes it once; it commits with what was told. Nobody hears of a project that
they could not find, of their own, or after they have left.
"""

from typing import Any, Final

from models import guard, mail, notifications, projects
from models.base import Record
from models.letters import MailKind
from models.locks import Noun, lock
from models.notifications import NotificationType
from models.projects import ProjectRow, ProjectStatus, Visibility
from models.queries import query

LOOKED_AT: Final = 5_000
"""Searches that one statement compares, some microseconds each."""
TOLD: Final = 50
"""Searches whose people are told in one transaction: each is some six statements, and holds an account meanwhile."""
MOST_MAILS: Final = 20
"""Alerts by mail that one person gets in 24 hours; of what fits beyond, the notification tells."""

FITS: Final = """
not exists (select from saved_search_matches m where m.search = s.id and m.project = p.id)
and s."user" <> p.client
and (s.q is null or p.search @@ s.wanted) and (s.category is null or lower(s.category) = lower(p.category))
and (s.skills = '{}' or p.skill_keys @> lowered(s.skills))
and (s.budget_type is null or s.budget_type = p.budget_type) and (s.currency is null or s.currency = p.currency)
and (s.budget_min_minor is null or p.budget_max_minor >= s.budget_min_minor)
and (s.budget_max_minor is null or p.budget_min_minor <= s.budget_max_minor)
"""
# Two limits: of the searches looked at, and among them of those that fit.
FITTING: Final = query(
    "saved_searches.fitting",
    f"""with looked as materialized (select id from saved_searches where id > $2 order by id limit {LOOKED_AT}),
             fitting as (select s.id, s."user" from saved_searches s join projects p on p.id = $1
                          where s.id > $2 and s.id <= (select max(id) from looked) and {FITS}
                          order by s.id limit {TOLD})
        select (select max(id) from looked) as looked_to, (select count(*) from fitting) as fitting,
               (select max(id) from fitting) as fits_to, (select array_agg(id) from fitting) as searches,
               (select array_agg(distinct "user") from fitting) as people""",
)
# Asked again under the locks: somebody may have left, changed the search, or been told by another run meanwhile.
MATCH: Final = f"""
with mine as (
    select s.id from saved_searches s join users u on u.id = s."user" join projects p on p.id = $2
     where s.id = any($1::bigint[]) and u.deactivated_at is null and u.suspended_at is null and u.erased_at is null
       and {FITS})
insert into saved_search_matches (search, project) select id, $2 from mine order by id
on conflict (search, project) do nothing returning search
"""
# Of several searches of one person the first one names itself; whoever was told of this project is not told again.
TO_TELL: Final = """
select s."user" as user_id, min(s.id) as search_id, min(s.id) filter (where s.alerts_by_mail) as mailed_for,
       exists (select from saved_search_matches m join saved_searches o on o.id = m.search
                where m.project = $2 and o."user" = s."user" and m.search <> all($1::bigint[])) as is_told
  from saved_searches s where s.id = any($1::bigint[]) group by s."user" order by s."user"
"""
MAILED: Final = query(
    "mails.alerts_of_the_day",
    """select count(*) from mails
        where "user" = $1 and kind = 'saved_search_alert' and created_at > now() - interval '24 hours'""",
)


class Batch(Record, frozen=True):
    """What one transaction did: how many searches fitted, and where the next one goes on; None: that was all."""

    matched: int
    go_on: int | None


async def match(project_id: int, *, after: int = 0) -> Batch:
    """Hold a project against the next searches behind `after` (an id), and tell the people of those that it fits.

    Nothing when it is not open and public any more. What was done is not done again.
    """
    guard.in_transaction()
    seen = await guard.only(FITTING, project_id, after)
    if seen["looked_to"] is None:
        return Batch(matched=0, go_on=None)
    # After as many as are told at once there may be more that fit among those looked at.
    go_on = seen["fits_to"] if seen["fitting"] == TOLD else seen["looked_to"]
    if not seen["fitting"]:
        return Batch(matched=0, go_on=go_on)
    await lock(Noun.ACCOUNT, *seen["people"])
    project = await projects.locked(project_id)
    if project.status is not ProjectStatus.OPEN or project.visibility is not Visibility.PUBLIC:
        return Batch(matched=0, go_on=None)
    matched = [one["search"] for one in await guard.rows(MATCH, seen["searches"], project_id)]
    for one in await guard.rows(TO_TELL, matched, project_id):
        await _tell(project, one)
    return Batch(matched=len(matched), go_on=go_on)


async def _tell(project: ProjectRow, found: Any) -> None:
    if not found["is_told"]:
        await notifications.tell(
            found["user_id"],
            type=NotificationType.SEARCH_MATCHED,
            title="A project for you",
            message=f"“{project.title}” fits a search you keep.",
            data={"project_id": project.id, "search_id": found["search_id"]},
        )
    if found["mailed_for"] is None or await guard.value(MAILED, found["user_id"]) >= MOST_MAILS:
        return
    name = await guard.value("select name from saved_searches where id = $1", found["mailed_for"])
    await mail.write(
        MailKind.SAVED_SEARCH_ALERT,
        to=found["user_id"],
        about=f"project:{project.id}",
        search_id=found["mailed_for"],
        search_name=name,
        project_id=project.id,
        project_title=project.title,
        budget_type=project.budget_type,
        budget_min_minor=project.budget_min_minor,
        budget_max_minor=project.budget_max_minor,
        currency=project.currency,
    )
