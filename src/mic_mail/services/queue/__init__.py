"""Mail that waits and leaves: tried where it is to go, kept back while its mailbox may not send,
and the reports by which a sender hears what became of it (DSN, RFC 3464).
"""
