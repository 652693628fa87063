"""Measured claims: each file prints medians and ranges, side by side with its peers."""
