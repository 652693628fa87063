"""The HTTP API: routes, and what stands between them and the domain."""
