"""CardDAV (RFC 6352): the address book for telephones and Thunderbird, to read and to keep up to date (Reg. 2.6)."""
