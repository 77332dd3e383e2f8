"""Lists and documents for managers and inspectors.

Usage, census, openings, correspondence, incidents, problems, due items. They read records and change nothing; only a
census is itself recorded.
"""
