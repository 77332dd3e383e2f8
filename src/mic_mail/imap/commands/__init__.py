"""The handlers of IMAP commands."""
