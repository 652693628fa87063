"""The API's documentation: OpenAPI, Swagger UI and ReDoc, whose files come from this service and from nowhere else."""

import re
from collections.abc import Mapping
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any, Final, cast

from litestar import MediaType, Request, Response, Router, get
from litestar._openapi.schema_generation import SchemaCreator
from litestar.exceptions import NotFoundException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, OpenAPIType, Schema, SecurityScheme
from litestar.params import FromPath
from litestar.plugins import OpenAPISchemaPlugin
from litestar.response import Redirect
from litestar.typing import FieldDefinition

from api.auth import ANYBODY, PUBLIC
from api.idempotency import HEADER
from api.limits import UNLIMITED
from api.problems import kinds

ASSETS: Final = Path(__file__).parent / "assets"
TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".png": "image/png"}
SERVED: Final = {file.name: file for file in ASSETS.glob("*/*") if file.suffix in TYPES}
"""Every file a page may ask for, by its name: a path from outside never reaches the disk."""
DOCUMENT: Final = "/api/openapi.json"
KEEP: Final = "public, max-age=86400"
# Both pages style elements from script, and ReDoc searches in a worker made from a blob. Nothing may be loaded or
# called but this service.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' "
    "data:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

PROBLEM: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "RFC 9457. `code` is for programs, `detail` for people; /api/docs/errors lists every code.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        **{name: {"type": "string"} for name in ("type", "title", "detail", "code", "request_id", "decline_code")},
        "status": {"type": "integer"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
REFUSAL: Final = {
    "description": "Refused, or failed: see `code`.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
KEYED: Final = {
    "409": REFUSAL | {"description": f"The wrong moment; or the first request with this {HEADER} is not done yet."},
    "422": REFUSAL | {"description": f"Something makes no sense; or this {HEADER} came before with another request."},
}
"""What else may come back where the header is taken."""

_REF: Final = "#/components/schemas/"
_PAGE: Final = re.compile(r"Page_[a-z_.]*?([a-z_]+)\.([A-Za-z]+)_")
_LAYERS: Final = ("api", "models")
"""Parts of a module's path that say nothing to a reader of the document."""

_SWAGGER: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>MegiLance API</title>
<link rel="icon" href="/api/docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="/api/docs/assets/swagger-ui.css"></head>
<body><div id="swagger-ui"></div><script src="/api/docs/assets/swagger-ui-bundle.js"></script>
<script src="/api/docs/assets/swagger.js"></script></body></html>"""
_REDOC: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>MegiLance API</title>
<link rel="icon" href="/api/docs/assets/favicon-32x32.png"></head>
<body style="margin:0"><div id="redoc"></div><script src="/api/docs/assets/redoc.standalone.js"></script>
<script src="/api/docs/assets/redoc.js"></script></body></html>"""

_ERRORS: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>MegiLance API errors</title>
</head><body><h1>Errors</h1><table>{rows}</table></body></html>"""


def _page(html: str) -> Response[str]:
    return Response(html, media_type=MediaType.HTML, headers={"Content-Security-Policy": POLICY})


@get("/", include_in_schema=False, opt=PUBLIC | UNLIMITED)
async def front_page() -> Redirect:
    """Whoever opens the bare address wants to know what is here."""
    return Redirect("/api/docs")


@get("/payouts", include_in_schema=False, opt=PUBLIC | UNLIMITED)
async def payouts_page() -> Response[str]:
    """Where Stripe sends a freelancer back to when there is no web app."""
    return _page("<!doctype html><title>MegiLance</title><h1>Thank you</h1><p>You can close this page.</p>")


@get("/docs", include_in_schema=False)
async def swagger() -> Response[str]:
    """Swagger UI."""
    return _page(_SWAGGER)


@get("/redoc", include_in_schema=False)
async def redoc() -> Response[str]:
    """ReDoc."""
    return _page(_REDOC)


@get("/docs/assets/{name:str}", include_in_schema=False)
async def asset(name: FromPath[str]) -> Response[bytes]:
    """A file of one of the pages."""
    file = SERVED.get(name)
    if file is None:
        raise NotFoundException(f"There is no file {name}.")
    return Response(file.read_bytes(), media_type=TYPES[file.suffix], headers={"Cache-Control": KEEP})


@get("/docs/errors", include_in_schema=False)
async def errors() -> Response[str]:
    """Every error code: where the `type` of a problem leads."""
    rows = "".join(
        f'<tr id="{kind.code}"><td>{kind.code}</td><td>{kind.status}</td><td>{escape(kind.title)}</td></tr>'
        for kind in kinds().values()
    )
    return _page(_ERRORS.format(rows=rows))


class DecimalsAreNumbers(OpenAPISchemaPlugin):
    """Amounts are decimals inside and JSON numbers on the wire; left alone, Litestar would call them strings."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        """Whether this is about decimals."""
        return value is Decimal

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:  # noqa: ARG002
        """A number. Examples are its field's own."""
        return Schema(type=OpenAPIType.NUMBER)


def refusals(operation: Mapping[str, Any]) -> dict[str, Any]:
    """How an operation may refuse, by status: what it takes decides. `default` is what no request can bring about.

    A 402 and a 502 are how a job may end, so they stand where there is a 202.
    """
    statuses = {"422", "429", "500", "503"}
    if operation.get("security") != ANYBODY:
        statuses |= {"401", "403"}
    if any(one["in"] == "path" for one in operation.get("parameters", [])):
        statuses |= {"404", "409"}
    if "requestBody" in operation:
        statuses |= {"400", "401", "403", "404", "409", "413", "415"}
    if "202" in operation["responses"]:
        statuses |= {"402", "409", "502"}
    return {**dict.fromkeys(sorted(statuses), REFUSAL), "default": REFUSAL}


def named(document: dict[str, Any]) -> dict[str, Any]:
    """The document with schemas called as people would: `PageOfProjectOut`, and `SupportAssignment` of two alike.

    Left alone, Litestar writes the module's path into every name that is not one of a kind.
    """
    schemas = document["components"]["schemas"]
    names = {name: _name(name) for name in schemas}
    assert len(set(names.values())) == len(names), "two schemas have one name"
    renamed = cast(
        "dict[str, Any]", _referring(document, {f"{_REF}{old}": f"{_REF}{new}" for old, new in names.items()})
    )
    renamed["components"]["schemas"] = {
        names[old]: schema | {"title": names[old]} if "title" in schema else schema
        for old, schema in renamed["components"]["schemas"].items()
    }
    return renamed


def _name(written: str) -> str:
    page = _PAGE.fullmatch(written)
    if page:
        noun, name = page.groups()
        return f"PageOf{noun.title().replace('_', '')}Entry" if name == "EntryOut" else f"PageOf{name}"
    *module, name = written.split("_")
    return "".join(part.title() for part in module if part not in _LAYERS) + name


def _referring(part: Any, references: Mapping[str, str]) -> Any:
    if isinstance(part, dict):
        return {key: _referring(held, references) for key, held in part.items()}
    if isinstance(part, list):
        return [_referring(held, references) for held in part]
    return references.get(part, part) if isinstance(part, str) else part


class _Document(JsonRenderPlugin):
    """The document as clients may rely on it: every refusal is a Problem, and amounts are JSON numbers."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The document's bytes."""
        schemas = openapi_schema["components"].setdefault("schemas", {})
        schemas["Problem"] = PROBLEM
        for path in openapi_schema["paths"].values():
            for operation in path.values():
                operation["responses"].pop("400", None)  # the framework's own shape, which is never sent
                operation["responses"] |= refusals(operation)
                if any(one["name"] == HEADER for one in operation.get("parameters", [])):
                    operation["responses"].update(KEYED)
        return super().render(request, named(openapi_schema))


def openapi(release: str) -> OpenAPIConfig:
    """Where the document is, and that callers sign in with a bearer token."""
    return OpenAPIConfig(
        title="MegiLance API",
        version=release or "development",
        # The document alone has this prefix: Litestar answers whatever else lies under it with a page of its own.
        path=DOCUMENT,
        render_plugins=[_Document(path="/", media_type=MediaType.JSON)],
        openapi_router=Router(DOCUMENT, route_handlers=[], opt=PUBLIC | UNLIMITED, include_in_schema=False),
        components=Components(
            security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
        ),
        security=[{"bearer": []}],
        use_handler_docstrings=True,
    )


router = Router("/api", route_handlers=[swagger, redoc, asset, errors], opt=PUBLIC | UNLIMITED)
pages = Router("/", route_handlers=[front_page, payouts_page])
