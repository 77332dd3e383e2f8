"""SEARCH over text: by `search.sqlite` where it knows a message, else by reading it; and keeping that file up to date."""
