"""App passwords, second factors, and signs of a stolen password (Reg. 7.2.c, 15.2)."""
