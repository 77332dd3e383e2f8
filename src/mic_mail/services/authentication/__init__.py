"""Sign-in to mailboxes, and the credentials that people manage themselves.

Identity, permitted listeners and their terms; passwords, app passwords, second factors; rights in the mailboxes of
units and groups.
"""
