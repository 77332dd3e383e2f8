"""What a client has been told of its selected mailbox, and what sessions at one state of a folder share. No commands."""
