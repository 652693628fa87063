"""How S3 says no, the answer to a form, and the page on which a person sees what lies there."""

import html
import secrets
from typing import TYPE_CHECKING

from sandbox.stripe.incoming import Outgoing

if TYPE_CHECKING:
    from sandbox.files.shelf import Stored

_STYLE = """
:root{color-scheme:light dark;--line:#8883}
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:56rem;padding:1.2rem}
h1{font-size:1.3rem;margin:.3rem 0}.soft{opacity:.65;font-size:.88rem}
.bar{display:flex;align-items:baseline;gap:.8rem;margin-bottom:.9rem}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid var(--line);padding:.4rem .6rem .4rem 0;
text-align:left;overflow-wrap:anywhere}td.size{text-align:right;white-space:nowrap}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


class Refused(Exception):
    """S3 says no: a status, its word for it, and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def render(self) -> Outgoing:
        """The error's document."""
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{self.code}</Code>'
            f"<Message>{html.escape(str(self))}</Message><RequestId>{secrets.token_hex(8).upper()}</RequestId></Error>"
        )
        return Outgoing(self.status, body.encode(), "application/xml")


def show_list(stored: "list[Stored]") -> Outgoing:
    """The objects: a person looks whether something arrived, and fetches it through the product."""
    rows = "".join(
        f"<tr><td>{html.escape(one.key)}</td><td>{html.escape(one.content_type)}</td>"
        f'<td class="size">{one.size:,}</td><td class="soft">{one.at:%Y-%m-%d %H:%M:%S}</td></tr>'
        for one in stored
    )
    table = f"<table><tr><th>Key</th><th>Type</th><th>Bytes</th><th>Stored</th></tr>{rows}</table>"
    none = '<p class="soft">No file yet. It appears here when uploaded.</p>'
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sandbox files</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f'<div class="bar"><h1>Sandbox files</h1><span class="soft">{len(stored)} stored, newest first, UTC</span>'
        f"</div>{table if stored else none}</body></html>"
    )
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return Outgoing(200, text.encode(), "text/html; charset=utf-8", headers)
