"""Uploads in every state, and the places where they are shown, for tests that need no storage."""

from models import guard, uploads
from models.accounts import Person
from models.errors import NotFound
from models.uploads import Announcement, UploadPurpose, UploadRow

PNG_FIRST = (UploadPurpose.AVATAR,)


async def announced(
    person: Person,
    purpose: UploadPurpose = UploadPurpose.EVIDENCE,
    *,
    filename: str | None = None,
    content_type: str | None = None,
    size: int = 1000,
) -> UploadRow:
    """A file that is awaited: a PDF where that is taken, else a picture."""
    picture = purpose in PNG_FIRST
    said = Announcement(
        purpose=purpose,
        filename=filename or ("plan.png" if picture else "plan.pdf"),
        content_type=content_type or ("image/png" if picture else "application/pdf"),
        size_bytes=size,
    )
    return await guard.commit(uploads.announce, said, user_id=person.id, prefix="test")


async def checking(person: Person, purpose: UploadPurpose = UploadPurpose.EVIDENCE, **said: int) -> UploadRow:
    """A file that a job is to look at."""
    made = await announced(person, purpose, **said)
    await guard.commit(uploads.complete, made.id, user_id=person.id)
    return await uploads.read(made.id, user_id=person.id, admin=False)


async def ready(person: Person, purpose: UploadPurpose = UploadPurpose.EVIDENCE, **said: int) -> UploadRow:
    """A file that was found good, as far as the database knows."""
    made = await checking(person, purpose, **said)
    await guard.commit(uploads.accept, made.id, made.kept_key("e"))
    return await uploads.read(made.id, user_id=person.id, admin=False)


async def is_seen(upload: UploadRow, person: Person, *, admin: bool = False) -> bool:
    """Whether a person may see an upload."""
    try:
        await uploads.read(upload.id, user_id=person.id, admin=admin)
    except NotFound:
        return False
    return True


async def a_message(sender: Person, receiver: Person, *attached: UploadRow) -> int:
    """The id of a message with files, in a chat of its own."""
    low, high = sorted((sender.id, receiver.id))
    chat = await guard.value(
        """insert into conversations (low, high) values ($1, $2)
           on conflict (low, high) do update set last_seq = conversations.last_seq + 1 returning id""",
        low,
        high,
    )
    made: int = await guard.value(
        """insert into messages (conversation, seq, sender, receiver, content, attachment_ids)
           select $1, coalesce(max(seq), 0) + 1, $2, $3, 'Look.', $4::bigint[] from messages where conversation = $1
           returning id""",
        chat,
        sender.id,
        receiver.id,
        [one.id for one in attached],
    )
    return made


async def evidence(opener: Person, other: Person, milestone_id: int, *attached: UploadRow) -> None:
    """A dispute about a milestone, in which the opener shows files."""
    dispute = await guard.value(
        """insert into disputes (milestone, opener, other_party, reason, description)
           values ($1, $2, $3, 'quality', 'Look.') returning id""",
        milestone_id,
        opener.id,
        other.id,
    )
    await guard.rows(
        "insert into dispute_evidence (dispute, author, note, attachment_ids) values ($1, $2, 'Look.', $3::bigint[])",
        dispute,
        opener.id,
        [one.id for one in attached],
    )
