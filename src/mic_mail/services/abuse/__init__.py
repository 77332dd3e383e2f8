"""Stolen or abused mailboxes: detected, limited, suspended (Reg. 7.2.c).

Leaked and sprayed passwords, sign-in anomalies, send limits, malware and spam from within.
"""
