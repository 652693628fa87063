"""A stateful stand-in for Stripe's HTTP API, for machines without a Stripe account. It takes test keys only."""
