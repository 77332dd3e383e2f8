"""The ground of a cluster: accounts whose index, bodies, text and marks are rows of one PostgreSQL (index.postgresql).

store       one account, as the rules ask for it: a generation of a mailbox
names       what a change makes of bodies: the rest of what a Maildir needs is nothing here
marks       marks of a hold
bodies      bodies in pieces, staged and opened
segments    its packed text; indexing, texts_due: which server adds to it, and when
account     the operations on one mailbox
generations the rows of a mailbox, of which one generation is current
backup, restore, delete_account
            all of a mailbox at once: out of the database, into it, away
mailstore   gives out the accounts of a process
"""
