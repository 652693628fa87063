"""What schemathesis is told about this service: a valid request for each operation, ids that exist, and what to count.

Loaded by schemathesis itself (SCHEMATHESIS_HOOKS), in a process that knows nothing of ours: it reads two files.
"""

import json
import os
from pathlib import Path
from typing import Any, Final

import pyotp
import schemathesis
from hypothesis import strategies as st

REQUESTS: Final[dict[str, dict[str, Any]]] = json.loads(Path(os.environ["SCHEMA_REQUESTS"]).read_text(encoding="utf-8"))
"""By operation: path, query, body and headers that are real."""
SEEN: Final = Path(os.environ["SCHEMA_SEEN"])
"""Where each answer leaves a line: operation, whether a token went with it, and status."""


@schemathesis.hook
def before_add_examples(context: Any, examples: list[Any]) -> None:
    asked = REQUESTS.get(context.operation.label)
    if asked is not None:
        body = {} if asked["body"] is None else {"body": asked["body"], "media_type": "application/json"}
        examples.append(
            context.operation.Case(
                path_parameters=asked["path"] or None,
                query=asked["query"] or None,
                headers=asked["headers"] or None,
                **body,
            )
        )


@schemathesis.hook
def before_generate_path_parameters(context: Any, strategy: Any) -> Any:
    asked = REQUESTS.get(context.operation.label)
    if asked is None or not asked["path"]:
        return strategy
    real = asked["path"]

    # Three in four paths name what is there: most made-up ids would only ever see the same 404.
    def place(drawn: tuple[Any, int]) -> Any:
        generated, dice = drawn
        if dice and isinstance(generated, dict):
            generated.update(real)
        elif dice and getattr(generated, "meta", True) is None and isinstance(generated.value, dict):
            generated.value.update(real)  # one with a meta was made wrong on purpose, and stays so
        return generated

    return st.tuples(strategy, st.integers(0, 3)).map(place)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    # A code of an authenticator app is good for half a minute: it is read off the app now.
    code = case.body.get("code") if isinstance(case.body, dict) else None
    if isinstance(code, str) and code.startswith("totp:"):
        case.body = {**case.body, "code": pyotp.TOTP(code.removeprefix("totp:")).now()}


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    if case.operation.label.startswith(f"{response.request.method} "):  # else it tried another method on this path
        with SEEN.open("a", encoding="utf-8") as seen:
            bearer = "Authorization" in response.request.headers
            seen.write(f"{case.operation.label}\t{bearer:d}\t{response.status_code}\n")
