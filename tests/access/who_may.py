"""The table of who may do what: written from the contract's words, and what the guards are held to.

A line is a route, the status each role gets for a well-formed request with real ids, and the rule in words. The roles:
nobody signed in; a client whose address is not verified; the client the things belong to, with second factors, one
proved just now; the freelancer who is the other party; a client who has nothing to do with them; an admin with a proved
session. ⚙ routes are asked for their 202.
"""

from typing import Final

from tests.access import areas
from tests.access.who import Line, Who, lines

__all__ = ["WHO_MAY", "Line", "Who"]

#                                                anon unver client freel stran admin
ACCOUNTS_AND_HIRING: Final = lines("""
POST   /api/auth/register                          201  201  201  201  201  201  anybody; nobody becomes an admin so
POST   /api/auth/login                             200  200  200  200  200  200  anybody who knows the password
POST   /api/auth/refresh                           200  200  200  200  200  200  whoever holds the refresh token
POST   /api/auth/logout                            401  204  204  204  204  204  everybody signed in, their own session
GET    /api/auth/me                                401  200  200  200  200  200  everybody signed in, themselves
PATCH  /api/auth/me                                401  200  200  200  200  200  everybody signed in, themselves
POST   /api/auth/verify-email                      200  200  200  200  200  200  whoever holds the mailed link
POST   /api/auth/resend-verification               401  202  202  202  202  202  everybody signed in, themselves
POST   /api/auth/forgot-password                   202  202  202  202  202  202  anybody, whether the address exists or not
POST   /api/auth/validate-reset-token              200  200  200  200  200  200  whoever holds the mailed link
POST   /api/auth/reset-password                    200  200  200  200  200  200  whoever holds the mailed link
POST   /api/auth/change-password                   401  200  200  200  200  200  everybody signed in who knows the old one
POST   /api/auth/change-email                      401  202  202  202  202  202  everybody signed in who knows the password
POST   /api/auth/2fa/verify                        200  200  200  200  200  200  whoever holds the ticket and the code
POST   /api/auth/2fa/send                          202  202  202  202  202  202  whoever holds the ticket
POST   /api/auth/2fa/enable                        401  200  200  200  200  200  everybody signed in, proved if a factor exists
POST   /api/auth/2fa/confirm                       401  409  409  200  409  409  whose enrolment it is, with its code (here the freelancer's)
POST   /api/auth/2fa/disable                       401  409  200  409  409  409  whose factor it is, with password and code
GET    /api/auth/2fa/status                        401  200  200  200  200  200  everybody signed in, themselves
POST   /api/auth/2fa/backup-codes                  401  409  200  409  409  409  whose factor it is, in a proved session
POST   /api/security/mfa/setup                     401  200  200  200  200  200  everybody signed in, proved if a factor exists
POST   /api/security/mfa/verify                    401  409  200  422  409  409  whose factor it is, with its code; to a code of another's: wrong
POST   /api/security/mfa/send                      401  409  202  409  409  409  whose factor it is
GET    /api/security/mfa/methods                   401  200  200  200  200  200  everybody signed in, their own
DELETE /api/security/mfa/methods/{factor_id}       401  404  204  404  404  404  whose factor it is, in a proved session
POST   /api/security/webauthn/register/begin       401  200  200  200  200  200  everybody signed in, proved if a factor exists
POST   /api/security/webauthn/register/finish      401  422  201  422  422  422  whose ceremony it is
POST   /api/security/webauthn/login/begin          200  200  200  200  200  200  whoever holds the ticket
POST   /api/security/webauthn/login/finish         200  200  200  200  200  200  whoever holds ticket and passkey
POST   /api/security/webauthn/verify/begin         401  409  200  409  409  409  whose passkey it is
POST   /api/security/webauthn/verify/finish        401  422  200  422  422  422  whose passkey it is
POST   /api/security/assess-risk                   401  403  200  403  403  200  oneself; admins anybody
GET    /api/security/sessions                      401  200  200  200  200  200  everybody signed in, their own
DELETE /api/security/sessions/{session_id}         401  404  204  404  404  404  whose session it is
DELETE /api/security/sessions/all                  401  200  200  200  200  200  everybody signed in, their own others
GET    /api/security/events                        401  200  200  200  200  200  everybody signed in, their own
GET    /api/users/me                               401  200  200  200  200  200  everybody signed in, themselves
PATCH  /api/users/me                               401  200  200  200  200  200  everybody signed in, themselves
GET    /api/users/{user_id}                        401  200  200  200  200  200  everybody signed in: no e-mail, no phone in it
POST   /api/users/me/deactivate                    401  204  409  409  204  204  who knows the password; not while work is under way
POST   /api/users/me/export                        401  202  202  202  202  202  everybody signed in, themselves
GET    /api/users/me/exports/{export_id}           401  404  200  404  404  404  whose export it is, nobody else
DELETE /api/users/me                               401  204  409  409  204  204  who knows the password; not with open escrow
GET    /api/users/me/notification-preferences      401  200  200  200  200  200  everybody signed in, their own
PUT    /api/users/me/notification-preferences      401  200  200  200  200  200  everybody signed in, their own
GET    /api/users                                  401  403  403  403  403  200  admins
POST   /api/users/{user_id}/suspend                401  403  403  403  403  200  admins
POST   /api/users/{user_id}/restore                401  403  403  403  403  200  admins
POST   /api/users/{user_id}/revoke-sessions        401  403  403  403  403  200  admins
GET    /api/jobs                                   401  200  200  200  200  200  everybody signed in, their own
GET    /api/jobs/{job_id}                          401  404  200  404  404  200  its owner, and admins
POST   /api/projects                               401  201  201  403  201  403  clients make drafts, verified or not
GET    /api/projects                               401  200  200  200  200  200  everybody signed in, open public ones
GET    /api/projects/my                            401  200  200  403  200  403  clients, their own
GET    /api/projects/{project_id}                  401  404  200  404  404  200  a draft: its client, and admins
POST   /api/projects/{project_id}/publish          401  403  200  403  404  403  its client, with a verified address
POST   /api/proposals                              401  403  403  201  403  403  freelancers, with a verified address
GET    /api/proposals                              401  200  200  200  200  200  everybody signed in, what is theirs to see
GET    /api/proposals/{proposal_id}                401  404  200  200  404  200  the two parties, and admins
POST   /api/proposals/{proposal_id}/accept         401  403  200  403  404  403  the project's client, verified
GET    /api/contracts                              401  200  200  200  200  200  everybody signed in, their own
GET    /api/contracts/{contract_id}                401  404  200  200  404  200  the two parties, and admins
POST   /api/contracts/{contract_id}/sign           401  404  200  200  404  403  the two parties; an admin sees it and signs for nobody
POST   /api/milestones                             401  404  201  403  404  403  the contract's client
GET    /api/milestones                             401  404  200  200  404  200  the contract's parties, and admins
GET    /api/milestones/{milestone_id}              401  404  200  200  404  200  the contract's parties, and admins
POST   /api/milestones/{milestone_id}/fund         401  403  202  403  404  403  the contract's client, verified
POST   /api/milestones/{milestone_id}/submit       401  403  403  200  403  403  the contract's freelancer
POST   /api/milestones/{milestone_id}/approve      401  403  202  403  404  403  the contract's client, verified
GET    /api/notifications                          401  200  200  200  200  200  everybody signed in, their own
GET    /api/notifications/unread-count             401  200  200  200  200  200  everybody signed in, their own
POST   /api/notifications/{notification_id}/read   401  404  200  404  404  404  its person, nobody else
POST   /api/notifications/read-all                 401  200  200  200  200  200  everybody signed in, their own
POST   /api/stripe/accounts                        401  403  403  202  403  403  freelancers, verified
GET    /api/stripe/accounts/me                     401  403  403  200  403  403  freelancers, their own
POST   /api/stripe/webhooks                        200  200  200  200  200  200  whoever signs as Stripe
GET    /api/health/live                            200  200  200  200  200  200  anybody
GET    /api/health/ready                           200  200  200  200  200  200  anybody
GET    /api/config                                 200  200  200  200  200  200  anybody
GET    /api/metrics                                401  403  403  403  403  200  admins
GET    /metrics                                    200  200  200  200  200  200  anybody but in production, else its token
GET    /api/admin/jobs                             401  403  403  403  403  200  admins
GET    /api/admin/jobs/{job_id}                    401  403  403  403  403  200  admins
POST   /api/admin/jobs/retry                       401  403  403  403  403  200  admins
POST   /api/admin/jobs/{job_id}/retry              401  403  403  403  403  200  admins
POST   /api/admin/jobs/{job_id}/cancel             401  403  403  403  403  200  admins
POST   /api/admin/jobs/{job_id}/discard            401  403  403  403  403  200  admins
GET    /api/admin/queues                           401  403  403  403  403  200  admins
POST   /api/admin/queues/{name}/pause              401  403  403  403  403  200  admins
POST   /api/admin/queues/{name}/resume             401  403  403  403  403  200  admins
GET    /api/admin/workers                          401  403  403  403  403  200  admins
GET    /api/admin/schedule                         401  403  403  403  403  200  admins
GET    /api/admin/audit                            401  403  403  403  403  200  admins
POST   /api/admin/audit/verify                     401  403  403  403  403  202  admins
""")

WHO_MAY: Final = ACCOUNTS_AND_HIRING + tuple(line for area in areas.ALL for line in lines(area.WRITTEN))
