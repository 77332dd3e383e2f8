"""CardDAV (RFC 6352): the address book for phones and Thunderbird, read-only and current (Reg. 2.6)."""
