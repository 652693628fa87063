"""The areas of the market: each brings its lines of the table, its requests and its things in the world."""

from typing import Final

from tests.access.areas import disputes, files, freelancers, helpdesk, hiring, hours, projects, talk

ALL: Final = (disputes, files, freelancers, helpdesk, hiring, hours, projects, talk)
