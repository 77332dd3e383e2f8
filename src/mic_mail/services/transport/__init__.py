"""The inbound path of a message, from MAIL to durable acceptance.

It covers the envelope, the sender, recipients, checks, the spool and delivery into mailboxes. `pipeline` joins the
steps; the checks that apply only to mail from other servers are in `inbound`.
"""
