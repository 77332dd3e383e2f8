"""Commands on names of mailboxes: LIST and its kin, STATUS, CREATE, RENAME, rights, annotations."""
