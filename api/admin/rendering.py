"""The pages' look: templates, the words for numbers and times, the small charts. Nothing else knows jinja2.

Templates escape everything and refuse a name that nobody gave them. Pages work without JavaScript, load nothing from
anywhere else, and are kept by no browser.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2s
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import jinja2
import msgspec
from litestar import MediaType, Request, Response

from api.admin.door import FLASH_COOKIE, TOKEN_FIELD, cookie, cookie_name, seals_of
from api.auth import Caller
from models.accounts import Person
from models.jobs import KINDS, Queue
from models.queue.control import MOST_AT_ONCE
from models.queue.figures import RATE_MINUTES
from models.queue.search import State

TEMPLATES: Final = Path(__file__).parents[2] / "templates" / "admin"
ASSETS: Final = Path(__file__).parent / "assets"
SERVED: Final = {file.name: file.read_bytes() for file in ASSETS.iterdir() if file.suffix in (".css", ".js")}
"""Every file a page may ask for, by its name."""
RELEASE: Final = blake2s(b"".join(SERVED[name] for name in sorted(SERVED)), digest_size=6).hexdigest()
"""In the addresses of those files, so that browsers may keep them for ever."""
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    # Not `no-referrer`, with which browsers would hide a form's origin from ourselves too.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
MOST_TOLD_CHARS: Final = 200
NOTHING: Final = "\u2013"
CHART_WIDTH, CHART_HEIGHT = 120, 28


def duration(seconds: float | None) -> str:
    """A duration in the one unit that suits it."""
    if seconds is None:
        return NOTHING
    for most, unit, parts in ((1, "ms", 0.001), (120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < most:
            value = seconds / parts
            return f"{value:.1f} {unit}" if 0 < value < 10 and not float(value).is_integer() else f"{value:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def ago(moment: datetime | None, now: datetime) -> str:
    """How long ago a moment was, or how soon it comes."""
    if moment is None:
        return NOTHING
    seconds = (now - moment).total_seconds()
    return f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"


def when(moment: datetime | None) -> str:
    """A moment, to the second, in UTC, which it says."""
    return NOTHING if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def count(number: int, capped: bool = False) -> str:  # noqa: FBT001, FBT002  a filter's argument
    """A number with its thousands apart, and a plus when counting stopped there."""
    return f"{number:,}".replace(",", "\u202f") + ("+" if capped else "")


def rate(per_s: float) -> str:
    """Jobs a second, or a minute when that is less than one."""
    if per_s == 0:
        return "0"
    return f"{per_s:.0f}/s" if per_s >= 10 else f"{per_s:.1f}/s" if per_s >= 1 else f"{per_s * 60:.1f}/min"


def short(job_id: UUID) -> str:
    """The end of an id: its beginning is the time, which neighbours share."""
    return "…" + str(job_id)[-8:]


def pretty(held: Any) -> str:
    """JSON for people."""
    return msgspec.json.format(msgspec.json.encode(held), indent=2).decode()


def told(held: Any) -> str:
    """A value of an audit row in one line; what is long ends early, the API has it whole."""
    text = held if isinstance(held, str) else msgspec.json.encode(held).decode()
    return text if len(text) <= MOST_TOLD_CHARS else f"{text[:MOST_TOLD_CHARS]}…"


def chart(values: Sequence[float | None]) -> dict[str, Any]:
    """The points of a small chart, from its left to its right: lines where there are values, gaps elsewhere."""
    most = max((one for one in values if one is not None), default=0) or 1
    step = CHART_WIDTH / max(1, len(values) - 1)
    lines: list[list[str]] = [[]]
    for number, one in enumerate(values):
        if one is None:
            lines.append([])
        else:
            lines[-1].append(f"{number * step:.1f},{CHART_HEIGHT - 2 - one / most * (CHART_HEIGHT - 4):.1f}")
    # A line of one point would be invisible.
    drawn = [" ".join(line * 2 if len(line) == 1 else line) for line in lines if line]
    return {"lines": drawn, "width": CHART_WIDTH, "height": CHART_HEIGHT, "empty": not any(values)}


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(
        duration=duration, ago=ago, when=when, count=count, rate=rate, short=short, pretty=pretty, told=told
    )
    made.globals.update(chart=chart, release=RELEASE, token_field=TOKEN_FIELD, rate_minutes=RATE_MINUTES)
    made.globals.update(kinds=sorted(KINDS), states=list(State), queue_names=list(Queue), most=MOST_AT_ONCE)
    return made


_TEMPLATES: Final = _environment()


def fragment(template: str, *, status_code: int = 200, **context: Any) -> Response[str]:
    """A rendered template, with the headers that every page has."""
    html = _TEMPLATES.get_template(template).render(now=datetime.now(UTC), **context)
    return Response(html, status_code=status_code, media_type=MediaType.HTML, headers=dict(HEADERS))


def page(
    request: Request[Any, Any, Any],
    template: str,
    *,
    status_code: int = 200,
    person: Person | None = None,
    form_token: str = "",
    **context: Any,
) -> Response[str]:
    """A whole page. For somebody signed in, with the message that waits for them, which is then used up."""
    flash, caller = None, request.scope.get("user")
    sealed = request.cookies.get(cookie_name(request, FLASH_COOKIE), "")
    if isinstance(caller, Caller):
        form_token = seals_of(request).form_token(str(caller.session_id))
        flash = seals_of(request).read_flash(sealed, caller.session_id)
    answer = fragment(template, status_code=status_code, person=person, flash=flash, form_token=form_token, **context)
    if flash is not None:
        answer.set_cookie(cookie(request, FLASH_COOKIE, "", 0))
    return answer
