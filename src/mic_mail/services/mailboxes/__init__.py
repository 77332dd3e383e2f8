"""Mailboxes from their issue to their end: issued, locked, suspended, restored, held, reclaimed, archived, freed; quota and
password; how each stands and why; the address book of those that are in use.
"""
