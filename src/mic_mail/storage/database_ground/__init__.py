"""The ground of a cluster: accounts whose index, bodies and marks are rows of one PostgreSQL (index.postgresql).

store       one account, as the rules ask for it
names       what a change makes of bodies: the rest of what a Maildir needs is nothing here
marks       marks of a hold
bodies      bodies in pieces, staged and opened
account     the operations on one mailbox
generations the rows of a mailbox, of which one generation is current
backup, restore, delete_account
            all of a mailbox at once: out of the database, into it, away
mailstore   gives out the accounts of a process
"""
