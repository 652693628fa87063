"""The one Piccolo app: its tables are listed by hand."""

from pathlib import Path

from piccolo.conf.apps import AppConfig

from models.accounts import User
from models.contracts import Contract
from models.escrow.tables import Release
from models.exports import Export
from models.factors import BackupCode, Factor
from models.ledger.tables import Balance, Journal, Posting
from models.mail import Mail
from models.milestones import Milestone
from models.notifications import Notification
from models.payments import Payment
from models.preferences import Preference
from models.projects import Project
from models.proposals import Proposal
from models.security import SecurityEvent
from models.sessions import Session
from models.throttles import Throttle
from models.tickets import PasskeyChallenge, SentCode, Ticket

APP_CONFIG = AppConfig(
    app_name="megilance",
    migrations_folder_path=str(Path(__file__).parent / "migrations"),
    table_classes=[
        User,
        Session,
        Project,
        Proposal,
        Contract,
        Milestone,
        Payment,
        Release,
        Journal,
        Posting,
        Balance,
        Mail,
        Notification,
        Factor,
        BackupCode,
        Ticket,
        SentCode,
        PasskeyChallenge,
        SecurityEvent,
        Throttle,
        Export,
        Preference,
    ],
    migration_dependencies=[],
    commands=[],
)
