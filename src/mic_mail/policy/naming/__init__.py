"""Addresses and names: how they are made and read, and which sender a mailbox may use (Reg. 5, 4.3)."""
