"""The demonstration server: a small ministry. For the command `demo` and tests only."""
