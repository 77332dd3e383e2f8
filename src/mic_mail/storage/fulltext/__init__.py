"""`search.sqlite`: packed text of an account's messages, independent of messages, folders and index."""
