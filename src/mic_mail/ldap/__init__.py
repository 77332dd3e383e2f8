"""The LDAP service: the address book for mail programs and phones (Reg. 2.6, 13.2)."""
