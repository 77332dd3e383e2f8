"""What a client has been told of its selected mailbox, and what the sessions at one state of a folder share. Knows no command."""
