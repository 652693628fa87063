"""`python -m sandbox.accounts`: the demo accounts of a desk, made once, through the front door and the mailed links.

A client, a freelancer who can be paid, and an admin; their passwords are the desk's own, in accounts.json beside its
data, and so is what the admin's authenticator app would keep.
"""

import json
import secrets
import subprocess
import sys

from sandbox.desk.record import Record, read_record
from sandbox.desk.surroundings import ROOT, desk_home, write_private
from sandbox.people import Desk, Person

ADMIN_EMAIL = "admin@example.test"


def make_admin(record: Record, password: str) -> str:
    """Make the admin as an operator does, and return the URI that their app is given.

    The command asks for the password, and no payload can name the role.
    """
    command = [sys.executable, "-m", "tasks.admin", "create", "--email", ADMIN_EMAIL]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=record["environment"],
        input=f"{password}\n{password}\n",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return next(line for line in done.stdout.splitlines() if line.startswith("otpauth://"))


def main() -> int:
    """Make them and write them down, unless that was done before."""
    home = desk_home()
    record = read_record(home)
    if record is None:
        sys.exit("No desk is running: ./megilance up")
    path = home / "accounts.json"
    if path.exists():
        return 0
    desk = Desk(record["urls"])
    people = [
        Person(desk, "Clara Client", "client", email="client@example.test").register().verify().sign_in(),
        Person(desk, "Fred Freelancer", "freelancer", email="freelancer@example.test").register().verify().sign_in(),
    ]
    people[1].set_up_payouts()
    password = f"Aa1!{secrets.token_urlsafe(12)}"
    uri = make_admin(record, password)
    made = [{"role": one.role, "email": one.email, "password": one.password} for one in people]
    admin = {"role": "admin", "email": ADMIN_EMAIL, "password": password, "otpauth": uri}
    write_private(path, json.dumps([*made, admin], indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
