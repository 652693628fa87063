"""Logs: structlog, set up once per process. Lines for a person at a terminal, JSON for everybody else.

What a key calls a secret is never written, at whatever depth it lies; nor is the password inside an address.
"""

import logging
import re
import sys
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN: Final = "[hidden]"
SECRET_KEYS: Final = re.compile(
    r"token|secret|passw|authorization|cookie|api_?key|private_?key|otp|credential|signature", re.IGNORECASE
)
PASSWORD_IN_ADDRESS: Final = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")
BEARER: Final = re.compile(r"\bBearer\s+\S+", re.IGNORECASE)
DEEPEST: Final = 6
"""Nesting beyond this is not looked into, and not written either."""


def _clean(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return BEARER.sub(f"Bearer {HIDDEN}", PASSWORD_IN_ADDRESS.sub(rf"\1:{HIDDEN}@", value))
    if isinstance(value, (dict, list, tuple)):
        if depth >= DEEPEST:
            return HIDDEN
        if isinstance(value, dict):
            return {key: _clean_item(key, one, depth + 1) for key, one in value.items()}
        return [_clean(one, depth + 1) for one in value]
    return value


def _clean_item(key: Any, value: Any, depth: int) -> Any:
    if isinstance(key, str) and SECRET_KEYS.search(key) and value is not None:
        return HIDDEN
    return _clean(value, depth)


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
    for chatty in ("dramatiq", "asyncio", "urllib3", "botocore", "boto3", "httpx", "stripe"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
