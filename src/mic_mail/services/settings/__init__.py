"""The services' settings from the configuration: values only, nothing is decided here.

Readings of ambiguous clauses, send limits, limits of the mail flow, the opened store. `stores` stays apart from the others: it
loads the storage, and most commands need a reading of a clause and no store.
"""
