"""Markings of secrecy in text (Reg. 4.1)."""
