"""The ledger: journals and postings, double entry, append-only. `posting` writes, `proof` proves."""
