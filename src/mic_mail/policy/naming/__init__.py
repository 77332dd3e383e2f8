"""Addresses and names: how an address is made, how letters are read, which sender a mailbox may use (Reg. 5, 4.3)."""
