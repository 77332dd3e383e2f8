"""What the services take from the configuration: the readings of ambiguous clauses, how much a mailbox may send,
the limits of the mail flow, the store that is opened. Values; nothing is decided here.
"""
