"""SEARCH, SORT, THREAD, ESEARCH: finding, ordering, answering, and following what changes."""
