"""SEARCH over text, by `search.sqlite` or by reading messages, and the upkeep of that file."""
