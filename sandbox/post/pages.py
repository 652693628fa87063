"""The mailbox a person opens: the list, one message, and its HTML in a frame that can do nothing."""

import html

from sandbox.post.letter import Letter
from sandbox.stripe.incoming import Outgoing

_STYLE = """
:root{color-scheme:light dark;--line:#8883;--soft:#8881;--go:#4f46e5}
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:56rem;padding:1.2rem}
h1{font-size:1.3rem;margin:.3rem 0}h2{font-size:.95rem;margin:1.6rem 0 .4rem}a{color:inherit;text-decoration:none}
.soft{opacity:.65;font-size:.88rem}.bar{display:flex;align-items:baseline;gap:.8rem;margin-bottom:.9rem}
.list{border:1px solid var(--line);border-radius:12px;overflow:hidden}
.list a{display:grid;grid-template-columns:minmax(9rem,15rem) 1fr auto;gap:.2rem 1rem;padding:.7rem 1rem}
.list a+a{border-top:1px solid var(--line)}.list a:hover,.list a:focus{background:var(--soft)}
.list span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}.list .subject{font-weight:600}
iframe{width:100%;height:34rem;border:1px solid var(--line);border-radius:12px;background:#fff}
pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid var(--line);border-radius:12px;padding:1rem;margin:0;
font:13px/1.5 ui-monospace,monospace}
@media(max-width:640px){body{padding:.8rem}.list a{grid-template-columns:1fr auto}.list .subject{grid-column:1/-1;
grid-row:2;white-space:normal}iframe{height:26rem}}
"""
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: https:; frame-src 'self'; frame-ancestors 'none'"
)
_FRAMED_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data: https:; sandbox allow-popups"


def _page(title: str, content: str, status: int = 200) -> Outgoing:
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>{content}</body></html>"
    )
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return Outgoing(status, text.encode(), "text/html; charset=utf-8", headers)


def show_list(letters: list[Letter], prefix: str) -> Outgoing:
    """The messages, newest first."""
    rows = "".join(
        f'<a href="{prefix}/{letter.id}"><span>{html.escape(", ".join(letter.to))}</span>'
        f'<span class="subject">{html.escape(letter.subject or "(no subject)")}</span>'
        f'<span class="soft">{_time(letter)}</span></a>'
        for letter in letters
    )
    body = (
        f'<div class="list">{rows}</div>' if letters else '<p class="soft">No mail yet. It appears here when sent.</p>'
    )
    bar = (
        f'<div class="bar"><h1>Sandbox mail</h1><span class="soft">{len(letters)} shown, newest first, UTC</span></div>'
    )
    return _page("Sandbox mail", bar + body)


def _time(letter: Letter) -> str:
    return html.escape(letter.at[:19].replace("T", " "))


def show_letter(letter: Letter, prefix: str) -> Outgoing:
    """One message: its HTML in a frame, its text, its headers."""
    headers = "\n".join(f"{name}: {value}" for name, value in letter.headers.items())
    frame = (
        '<h2>HTML</h2><iframe sandbox="allow-popups" referrerpolicy="no-referrer" title="The message" '
        f'src="{prefix}/{letter.id}/html"></iframe>'
        if letter.html
        else ""
    )
    text = f"<h2>Text</h2><pre>{_linked(letter.text)}</pre>" if letter.text else ""
    content = (
        f'<p><a class="soft" href="{prefix}">← all mail</a></p><h1>{html.escape(letter.subject or "(no subject)")}</h1>'
        f'<p class="soft">to {html.escape(", ".join(letter.to))} · from {html.escape(letter.from_)}'
        f" · {_time(letter)}</p>"
        f"{frame}{text}<h2>Headers</h2><pre>{html.escape(headers)}</pre>"
    )
    return _page(letter.subject or "Mail", content)


def _linked(text: str) -> str:
    """Escape the text and make its web addresses something to click on."""
    words = []
    for line in text.split("\n"):
        parts = []
        for word in line.split(" "):
            safe = html.escape(word)
            web = word.startswith(("http://", "https://"))
            parts.append(f'<a href="{safe}" rel="noreferrer" style="color:var(--go)">{safe}</a>' if web else safe)
        words.append(" ".join(parts))
    return "\n".join(words)


def show_html(letter: Letter) -> Outgoing:
    """The message's own HTML, for the frame: no scripts, no forms, no origin."""
    headers = {"Content-Security-Policy": _FRAMED_POLICY, "X-Content-Type-Options": "nosniff"}
    # A link in the frame must open beside it: the frame itself is barred from going anywhere.
    text = f'<base target="_blank">{letter.html}'
    return Outgoing(200, text.encode(), "text/html; charset=utf-8", headers)


def show_missing() -> Outgoing:
    """There is no such message."""
    return _page("Not found", '<h1>Not found</h1><p class="soft">There is no such message.</p>', 404)
