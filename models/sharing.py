"""Who sees a file, and what names it: the rules by which an upload is more than its owner's.

A file is seen where its owner put it: a delivery by its contract's parties, an attachment by the two of a chat,
evidence by a dispute's parties, an avatar and a portfolio by everybody, once a profile or a piece of work has them.
Admins see all, strangers nothing.
"""

from typing import Final

from models import guard
from models.queries import query

COLUMNS: Final = """
u.id, u."user" as user_id, u.purpose, u.filename, u.content_type, u.size_bytes, u.object_key, u.status,
u.refused_because, u.created_at, u.ready_at
"""

# An array of none is in no index of what is named: the second half of each condition leads there.
_DELIVERED: Final = "m.attachment_ids @> array[u.id] and m.attachment_ids <> '{}'"
_ATTACHED: Final = "g.attachment_ids @> array[u.id] and g.attachment_ids <> '{}'"
_SHOWN: Final = "e.attachment_ids @> array[u.id] and e.attachment_ids <> '{}'"

SEEN: Final = query(
    "uploads.seen",
    f"""
select {COLUMNS} from uploads u
 where u.id = $1 and (u."user" = $2 or $3 or u.status = 'ready' and case u.purpose
       when 'deliverable' then exists (
            select from milestones m join contracts c on c.id = m.contract
             where {_DELIVERED} and c.freelancer = u."user" and c.client = $2)
       when 'attachment' then exists (
            select from messages g where {_ATTACHED} and g.sender = u."user" and g.receiver = $2
               and g.deleted_at is null)
       when 'evidence' then exists (
            select from dispute_evidence e join disputes d on d.id = e.dispute
             where {_SHOWN} and e.author = u."user" and $2 in (d.opener, d.other_party))
       else exists (select from users o where o.id = u."user" and o.deactivated_at is null and o.suspended_at is null
               and (o.avatar_upload_id = u.id
                    or exists (select from portfolio_items p where p."user" = o.id and p.upload_ids @> array[u.id])))
       end)
""",
)

NAMED: Final = query(
    "uploads.named",
    f"""
select exists (select from users o where o.id = u."user" and o.avatar_upload_id = u.id)
    or exists (select from portfolio_items p where p."user" = u."user" and p.upload_ids @> array[u.id])
    or exists (select from milestones m where {_DELIVERED})
    or exists (select from messages g where {_ATTACHED})
    or exists (select from dispute_evidence e where {_SHOWN})
  from uploads u where u.id = $1
""",
)


async def is_named(upload_id: int) -> bool:
    """Whether anything shows this file: it cannot go then. With the upload's lock."""
    return bool(await guard.value(NAMED, upload_id))
