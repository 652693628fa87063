"""A stand-in for Amazon SES: takes mail as SES does, keeps every message, and shows it to whoever opens the page."""
