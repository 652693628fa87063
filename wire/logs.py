"""Logs: structlog, set up once per process. Lines for a person at a terminal, JSON for everybody else.

What a key calls a secret is never written, at whatever depth it lies; nor is what looks like one in any text: a token,
a sealed secret, the password inside an address. People's addresses and numbers are written so far that two of them can
be told apart, and no further.
"""

import logging
import re
import sys
from collections.abc import Set as AbstractSet
from ipaddress import ip_address, ip_network
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN: Final = "[hidden]"
SECRET_KEYS: Final = re.compile(
    r"token|secret|sealed|passw|authorization|cookie|api_?key|private_?key|otp|credential|signature|code_?hash"
    r"|recovery|backup|seed",
    re.IGNORECASE,
)
CODE_KEYS: Final = re.compile(r"(?:^|_)codes?$", re.IGNORECASE)
CODE: Final = re.compile(r"\d{6,8}|[A-Z2-7]{13}|[A-Z2-7]{3,5}(?:[ -][A-Z2-7]{3,5}){2,3}")
"""Such a key may hold why something failed, which must stay readable, or what proves a person: told by the shape."""
PERSONAL_KEYS: Final = re.compile(r"(?:^|_)(?:email|email_address|phone|phone_number|contact)$", re.IGNORECASE)
"""What stands here is masked however it is written."""
IP_KEYS: Final = re.compile(r"(?:^|_)ip(?:_address)?$", re.IGNORECASE)

PASSWORD_IN_ADDRESS: Final = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")
BEARER: Final = re.compile(r"\b(?:(Bearer)\s+\S+|(Basic)\s+[\w+/=-]{12,})", re.IGNORECASE)
SAID: Final = re.compile(r"(?<![\w-])([\w-]+)(=|[\"']:\s?[\"'])[^\s\"'&,;)]+")
"""`token=…` in a query, `"password": "…"` in somebody's JSON. Begins where a word does: what is logged may be long, and
a pattern that tried every letter would take minutes over it."""
SAID_KEYS: Final = re.compile(r"token|secret|passw|code|ticket", re.IGNORECASE)
READABLE: Final = ("error_code", "status_code", "decline_code", "provider_code", "exit_code")
SHAPES: Final = re.compile(
    r"(?<![\w-])eyJ[\w-]{5,}\.[\w-]+\.[\w-]*"  # a JWT
    r"|(?<![\w-])gAAAA[\w-]{40,}={0,2}"  # what we sealed
    r"|\botpauth://\S+"
    r"|\b(?:sk|rk)_(?:live|test)_\w+|\bwhsec_\w+"
)
EMAIL: Final = re.compile(r"(?<![\w.+-])([\w+-])[\w.+-]*@((?:[\w-]+\.)+[^\W\d_][\w-]*)")
PHONE: Final = re.compile(r"(?<![\w+])(\+[1-9]\d)\d{3,11}(\d{2})(?!\d)", re.ASCII)
DEEPEST: Final = 6
"""Nesting beyond this is not looked into, and not written either."""
PLAIN: Final = (bool, int, float, type(None))


def _clean(value: Any, depth: int = 0) -> Any:
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, (dict, list, tuple, AbstractSet)):
        if depth >= DEEPEST:
            return HIDDEN
        if isinstance(value, dict):
            return {_clean(key): _clean_item(key, one, depth + 1) for key, one in value.items()}
        return [_clean(one, depth + 1) for one in value]
    # Whatever else there is would become its own text where the line is written, too late to be looked at.
    return clean_text(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))


def _clean_item(key: Any, value: Any, depth: int) -> Any:
    if not isinstance(key, str) or value is None:
        return _clean(value, depth)
    if SECRET_KEYS.search(key):
        return HIDDEN
    if CODE_KEYS.search(key):
        return _clean_codes(value, depth)
    if IP_KEYS.search(key):
        return _network(str(value))
    if PERSONAL_KEYS.search(key) and isinstance(value, str) and value:
        masked = clean_text(value)
        return HIDDEN if masked == value else masked
    return _clean(value, depth)


def _clean_codes(value: Any, depth: int) -> Any:
    if isinstance(value, (list, tuple)):
        return [_clean_codes(one, depth + 1) for one in value]
    return HIDDEN if CODE.fullmatch(str(value)) else _clean(value, depth)


def clean_text(text: str) -> str:
    """The text without what looks like a secret, with people's addresses and numbers masked."""
    text = BEARER.sub(rf"\1\2 {HIDDEN}", PASSWORD_IN_ADDRESS.sub(rf"\1:{HIDDEN}@", text))
    text = PHONE.sub(r"\1…\2", EMAIL.sub(r"\1…@\2", SHAPES.sub(HIDDEN, text)))
    return SAID.sub(_unsaid, text)


def _unsaid(said: re.Match[str]) -> str:
    name = said[1].lower()
    return f"{said[1]}{said[2]}{HIDDEN}" if SAID_KEYS.search(name) and name not in READABLE else said[0]


def _network(address: str) -> str:
    """The network of an address: enough to see where trouble comes from, not who it is."""
    try:
        found = ip_address(address)
    except ValueError:
        return clean_text(address)
    return str(ip_network(f"{found}/{24 if found.version == 4 else 48}", strict=False))


def redact(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """A structlog processor: secrets out, by key and by shape."""
    return {key: _clean_item(key, value, 0) for key, value in event_dict.items()}


def set_up(*, json: bool, process: str, level: int = logging.INFO) -> None:
    """Send every log line of this process, the libraries' too, to stderr: one line each, redacted.

    `process` names the program in each line.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )

    def named(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
        return {"process": process, **event_dict}

    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, named]
    if json:
        # The traceback becomes text first, so that an address inside it is redacted too.
        last += [structlog.processors.format_exc_info, redact, structlog.processors.JSONRenderer(default=str)]
    else:
        last += [
            structlog.processors.format_exc_info,
            redact,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ]
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    logging.basicConfig(handlers=[lines], level=level, force=True)
    for chatty in ("dramatiq", "asyncio", "urllib3", "botocore", "boto3", "httpx", "stripe", "twilio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
