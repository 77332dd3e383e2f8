"""The services' settings from the configuration: values only, nothing is decided here.

Readings of ambiguous clauses, send limits, limits of the mail flow, the opened store.
"""
