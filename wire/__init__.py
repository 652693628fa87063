"""What passes between processes and is no business: Redis and every name in it, the bell, notices, logs."""
