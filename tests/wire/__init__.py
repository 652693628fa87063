"""What passes between processes, against a real Redis."""
