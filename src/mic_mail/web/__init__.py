"""The pages: where people change their password and see the state of their mailbox (Reg. 3.2, 6.4.a, 7.3.c, 15.2)."""
