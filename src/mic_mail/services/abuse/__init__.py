"""Mailboxes that others have got hold of, or that send too much: noticed, slowed down, suspended (Reg. 7.2.c).
Leaked and sprayed passwords, odd sign-ins, ceilings of sending, malware and spam from within.
"""
