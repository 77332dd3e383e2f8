"""Who a message from outside is really from: SPF, DKIM, DMARC and ARC, and the field that says so (decision 0078).

    spf         may this address send for that domain (RFC 7208); spfterms: the grammar of its records, pure
    reading     a message's header and the digests of its body, in one pass; blocking
    signatures  what a DKIM or ARC signature says of itself, and whether a key has made it; pure but for the arithmetic
    keys        the keys of signers, from the DNS
    dkimcheck   all DKIM signatures of a message (RFC 6376); arc: its chain of ARC sets (RFC 8617)
    dmarc       what the domain in From asks for (RFC 7489); domains: organisational domains, by the public suffix list
    authresults the field Authentication-Results (RFC 8601)
    verdict     all of it as one value; examining: all of it in order

Whatever a stranger wrote, nothing here raises: what cannot be judged is `permerror`, what may be judged later `temperror`.
"""
