"""`search.sqlite`: the text of an account's messages, packed. Knows nothing of messages, folders or the index."""
