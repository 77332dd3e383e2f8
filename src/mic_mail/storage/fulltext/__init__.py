"""Packed text of an account's messages in segments, independent of messages, folders and index; its file, `search.sqlite`."""
