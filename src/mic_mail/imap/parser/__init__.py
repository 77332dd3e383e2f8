"""The IMAP parser: from octets on the wire to command values. Pure.

reader                 received octets -> commands, messages of APPEND, lines; literals bounded by the connection's state
lexer                  atoms, strings, literals, lists of one complete command
command_table          the table of commands, and the arguments of session commands
mailbox metadata acl notify fetch search sort     arguments of the other commands
commands and *_commands, fetch_items, search_keys, number_set     the values; `command_rules`: what each command may do
utf7                   mailbox names in modified UTF-7
"""
