"""SEARCH over text, by packed text in segments or by reading messages, and the upkeep of the segments."""
