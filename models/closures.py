"""How a project ends without a contract: closed, when nobody is sought any more, or cancelled.

Whoever waits for a decision is told in the same transaction. Invitations that were not answered lead nowhere then.
"""

from models import guard, projects, rejections
from models.projects import ProjectRow, ProjectStatus


async def close(project_id: int, *, client_id: int) -> ProjectRow:
    """Take one's own open project off the market. Raises NotFound for anybody else's, WrongState."""
    return await _end(project_id, client_id, ProjectStatus.CLOSED, "close")


async def cancel(project_id: int, *, client_id: int) -> ProjectRow:
    """Give up one's own draft or open project. Raises NotFound for anybody else's, WrongState."""
    return await _end(project_id, client_id, ProjectStatus.CANCELLED, "cancel")


async def _end(project_id: int, client_id: int, target: ProjectStatus, verb: str) -> ProjectRow:
    guard.in_transaction()
    project = await projects.own_locked(project_id, client_id)
    ended = await projects.move(project, target, verb=verb)
    await rejections.reject_undecided(
        project_id, because=f"The client has {target.value} “{project.title}” without choosing a proposal."
    )
    return ended
