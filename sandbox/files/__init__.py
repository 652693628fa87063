"""A stand-in for S3: one bucket in a directory, as strict about signatures, sizes and times as the real one."""
