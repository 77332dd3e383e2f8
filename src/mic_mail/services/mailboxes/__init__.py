"""Mailboxes from their issue to their end.

Issued, locked, suspended, restored, held, reclaimed, archived, freed; quota and password; the state of each and the
reasons; the address book of the mailboxes in use.
"""
