"""The domain: tables and verbs. Knows PostgreSQL and nothing else of the world."""
