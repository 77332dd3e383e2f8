"""The LDAP door: the address book for mail programs and telephones (Reg. 2.6, 13.2)."""
