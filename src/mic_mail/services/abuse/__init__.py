"""Stolen or abused mailboxes: detected, limited, suspended (Reg. 7.2.c)."""
