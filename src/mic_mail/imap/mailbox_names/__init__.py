"""Names of mailboxes: where they lead, who may do what there, what LIST shows of them. Pure."""
