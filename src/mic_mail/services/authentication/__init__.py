"""Signing in: who is it, which mailboxes may they use, through which door, until when; what they set themselves for it.
Passwords, app passwords, second factors, rights in mailboxes of units and groups.
"""
