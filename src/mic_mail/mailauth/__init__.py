"""Authentication of incoming mail: SPF, DKIM, DMARC, ARC and Authentication-Results (decision 0078).

    spf             may this address send for that domain (RFC 7208); spf_record: the grammar of its records, pure
    message_digest  a message's header and the digests of its body, in one pass; blocking
    dkim_header     parse a DKIM or ARC signature and verify it with a key; pure but for the arithmetic
    dkim_dns        the public keys of signers, from the DNS
    dkim_verify     all DKIM signatures of a message (RFC 6376); arc: its chain of ARC sets (RFC 8617)
    dmarc           the policy of the domain in From (RFC 7489); public_suffix: organisational domains
    authentication_results  the field Authentication-Results (RFC 8601)
    iprev           the reverse name of the client's address (RFC 8601 §3)
    result          all results as one value; authenticate: all checks in order

Nothing here raises, whatever a message contains: a check that cannot be made is `permerror`, one that may succeed later
`temperror`.
"""
