"""The one Piccolo app: its tables are listed by hand."""

from pathlib import Path

from piccolo.conf.apps import AppConfig

from models.accounts import User
from models.blocks import Block
from models.catalogue import Skill, WorkCategory
from models.contracts import Contract
from models.conversations import Conversation, Membership
from models.counter_offers import CounterOffer
from models.disputes import Dispute
from models.escrow.tables import Release
from models.evidence import Evidence
from models.exports import Export
from models.factors import BackupCode, Factor
from models.favorites import Favorite
from models.invitations import Invitation
from models.invoices import Invoice
from models.ledger.tables import Balance, Journal, Posting
from models.mail import Mail
from models.messages import Message
from models.milestones import Milestone
from models.notifications import Notification
from models.payments import Payment
from models.portfolio import PortfolioItem
from models.preferences import Preference
from models.projects import Project
from models.proposals import Proposal
from models.refund_requests import RefundRequest
from models.reviews import Review
from models.saved_searches import Match, SavedSearch
from models.security import SecurityEvent
from models.sessions import Session
from models.settlements import Settlement
from models.support import SupportReply, SupportTicket
from models.throttles import Throttle
from models.tickets import PasskeyChallenge, SentCode, Ticket
from models.time_entries import TimeEntry
from models.time_weeks import Week
from models.timers import Timer
from models.uploads import Upload

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
        Timer,
        WorkCategory,
        Skill,
        Invitation,
        SavedSearch,
        Match,
        Favorite,
        PortfolioItem,
        CounterOffer,
        RefundRequest,
        Settlement,
        Week,
        TimeEntry,
        Dispute,
        Evidence,
        Review,
        SupportTicket,
        SupportReply,
        Conversation,
        Membership,
        Block,
        Message,
        Upload,
        Invoice,
    ],
    migration_dependencies=[],
    commands=[],
)
