"""The mail queue: delivery attempts, mail of mailboxes that may not send, delivery reports (RFC 3464)."""
