"""Mailbox names: resolution, rights, and the attributes and selection of LIST. Pure."""
