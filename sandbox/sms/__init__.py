"""A stand-in for Twilio: takes text messages as Twilio does, keeps each, and shows it to whoever opens the page."""
