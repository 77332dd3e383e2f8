"""Pages to change the password and see the mailbox's state (Reg. 3.2, 6.4.a, 7.3.c, 15.2)."""
