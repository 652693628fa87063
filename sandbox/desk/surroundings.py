"""The environment the service's processes get on a desk: what the person set, and stand-ins for the rest."""

import json
import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from sandbox.ports import LOOPBACK

ROOT = Path(__file__).resolve().parents[2]
FILES_PATH = "/sandbox/files"
DRAIN_S = 6  # a person who pressed Ctrl-C waits for this; in production it is 20


def desk_home() -> Path:
    """Where the desk keeps its data, logs and secrets."""
    return Path(os.environ.get("MEGILANCE_HOME") or ROOT / ".megilance").absolute()


def read_dotenv(path: Path) -> dict[str, str]:
    """The KEY=VALUE lines of a .env file; quotes around a value are taken off, nothing is expanded."""
    values: dict[str, str] = {}
    if not path.exists():
        return values
    for line in path.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if not equals or name.startswith("#"):
            continue
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        values[name.strip()] = value
    return values


def given_environment(root: Path) -> dict[str, str]:
    """What the person set: the real environment over .env. An empty value means not set."""
    given = {**read_dotenv(root / ".env"), **os.environ}
    if given.get("ENVIRONMENT") == "production":
        sys.exit(
            "ENVIRONMENT is `production`, and a desk is for development: unset it, or start the Procfile's commands."
        )
    return {name: value for name, value in given.items() if value}


def write_private(path: Path, text: str) -> None:
    """Replace the file whole, readable by its owner only."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def desk_secrets(home: Path) -> dict[str, str]:
    """The desk's own secrets, made once and kept, so that tokens outlive a restart."""
    path = home / "secrets.json"
    kept: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    fresh = {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "STRIPE_SECRET_KEY": f"sk_test_sandbox{secrets.token_hex(12)}",
        "STRIPE_PUBLISHABLE_KEY": f"pk_test_sandbox{secrets.token_hex(12)}",
        "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_hex(16)}",
        "STRIPE_CONNECT_WEBHOOK_SECRET": f"whsec_{secrets.token_hex(16)}",
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
        # Of the length of a real one, and no hexadecimal number: it can be taken for none of Twilio's.
        "TWILIO_ACCOUNT_SID": f"ACsandbox{secrets.token_hex(13)[1:]}",
        "TWILIO_AUTH_TOKEN": f"sandbox{secrets.token_hex(13)[1:]}",
    }
    if fresh.keys() - kept.keys():
        kept = {**fresh, **kept}
        write_private(path, json.dumps(kept, indent=2))
    return kept


@dataclass(frozen=True)
class Places:
    """Where a desk's parts listen, and how many of each there are. None: the real provider is used."""

    port: int
    database_url: str
    redis_url: str
    stripe_port: int | None
    mail_port: int | None
    sms_port: int | None = None
    files_port: int | None = None
    scale: str = ""

    @property
    def public_url(self) -> str:
        """The address a browser on this machine uses."""
        return f"http://localhost:{self.port}"


def service_environment(given: dict[str, str], kept: dict[str, str], places: Places) -> dict[str, str]:
    """Everything the processes are told. What the person set stands, but for the addresses just chosen."""
    stand_ins = {
        "ENVIRONMENT": "development",
        "SECRET_KEY": kept["SECRET_KEY"],
        "DATABASE_DIRECT_URL": places.database_url,
        "API_PUBLIC_URL": places.public_url,
        "REALTIME_PUBLIC_URL": places.public_url,
        "TRUSTED_PROXIES": LOOPBACK,
        "DRAIN_SECONDS": str(DRAIN_S),
    }
    if places.stripe_port is not None:
        names = (
            "STRIPE_SECRET_KEY",
            "STRIPE_PUBLISHABLE_KEY",
            "STRIPE_WEBHOOK_SECRET",
            "STRIPE_CONNECT_WEBHOOK_SECRET",
        )
        stand_ins |= {name: kept[name] for name in names}
        stand_ins["STRIPE_API_BASE"] = f"http://{LOOPBACK}:{places.stripe_port}"
    if places.mail_port is not None:
        stand_ins |= {
            "SES_API_BASE": f"http://{LOOPBACK}:{places.mail_port}",
            "SES_SENDER_EMAIL": "MegiLance <no-reply@megilance.test>",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": kept["AWS_SECRET_ACCESS_KEY"],
        }
    if places.sms_port is not None:
        stand_ins |= {
            "TWILIO_API_BASE": f"http://{LOOPBACK}:{places.sms_port}",
            "TWILIO_ACCOUNT_SID": kept["TWILIO_ACCOUNT_SID"],
            "TWILIO_AUTH_TOKEN": kept["TWILIO_AUTH_TOKEN"],
            "TWILIO_FROM_NUMBER": "+15005550006",
        }
    if places.files_port is not None:
        # Through the front door: browsers bring and fetch files themselves, and every address is signed for one host.
        stand_ins |= {"S3_BUCKET": "sandbox-files", "S3_API_BASE": f"{places.public_url}{FILES_PATH}/s3"}
    chosen = {
        "DATABASE_URL": places.database_url,
        "REDIS_URL": places.redis_url,
        "SCALE": places.scale,
        "BIND_HOST": LOOPBACK,
        "PYTHONUNBUFFERED": "1",
        # The Procfile's `uvicorn` and `python` are this environment's, whatever else PATH knows.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), given.get("PATH", os.defpath)]),
    }
    return {**stand_ins, **given, **chosen}
