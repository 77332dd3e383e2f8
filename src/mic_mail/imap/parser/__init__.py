"""The IMAP parser: from octets on the wire to command values. Pure.

reader                 received octets -> commands, messages of APPEND, lines; literals bounded by the connection's state
lexer                  atoms, strings, literals, lists of one complete command
grammar                tag and name of a command; which commands there are is given from above (`imap.command_table`)
session append messages mailbox metadata acl notify fetch search sort     the commands: their values and their parsers
command                the base of these values; fetch_items, search_keys, number_set: what they are made of
"""
