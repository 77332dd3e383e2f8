"""SEARCH over text: by `search.sqlite` where it knows a message, by reading the message where not; and keeping that file up to date."""
