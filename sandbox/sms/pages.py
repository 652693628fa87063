"""The page a person opens: every message, the newest first."""

import html

from sandbox.sms.message import Message
from sandbox.stripe.incoming import Outgoing

_STYLE = """
:root{color-scheme:light dark;--line:#8883}
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:42rem;padding:1.2rem}
h1{font-size:1.3rem;margin:.3rem 0}.soft{opacity:.65;font-size:.88rem}
.bar{display:flex;align-items:baseline;gap:.8rem;margin-bottom:.9rem}
article{border:1px solid var(--line);border-radius:12px;padding:.7rem 1rem;margin-bottom:.7rem}
p{margin:.2rem 0;white-space:pre-wrap;overflow-wrap:anywhere}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def show_list(messages: list[Message]) -> Outgoing:
    """The messages; each is short enough to be read where it stands."""
    told = "".join(
        f'<article><div class="soft">to {html.escape(one.to)} · from {html.escape(one.from_)} · '
        f"{html.escape(one.at[:19].replace('T', ' '))}</div><p>{html.escape(one.body)}</p></article>"
        for one in messages
    )
    none = '<p class="soft">No message yet. It appears here when sent.</p>'
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sandbox text messages</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f'<div class="bar"><h1>Sandbox text messages</h1><span class="soft">{len(messages)} shown, newest first, UTC'
        f"</span></div>{told or none}</body></html>"
    )
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return Outgoing(200, text.encode(), "text/html; charset=utf-8", headers)
