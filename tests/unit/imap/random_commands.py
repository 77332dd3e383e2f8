"""Any IMAP commands, for tests by Hypothesis."""

from hypothesis import strategies as st

NUMBER = st.sampled_from([b"1", b"2", b"1:*", b"*", b"2:4,1", b"9", b"4294967295", b"$", b"3:1", b"1:4294967295"])
FOLDER = st.sampled_from([b"INBOX", b"Viec", b"Viec/Con", b"Trash", b'""', b"&AOk-", b"Khong-co", b"inbox/x", b'"a\\"b"'])
FLAGS = st.sampled_from(
    [b"(\\Seen)", b"(\\Deleted)", b"($Viec \\Flagged)", b"()", b"(\\Answered \\Draft)", b"\\Seen \\Deleted"]
)
ITEMS = st.sampled_from([
    b"FLAGS", b"ALL", b"FULL", b"(UID FLAGS MODSEQ)", b"(BODY[])", b"BODY.PEEK[HEADER.FIELDS (SUBJECT)]", b"BODY[1]<0.5>",
    b"BINARY.PEEK[1]", b"BINARY.SIZE[1]", b"(ENVELOPE BODYSTRUCTURE PREVIEW)", b"(EMAILID THREADID SAVEDATE INTERNALDATE)",
    b"BODY[1.2.HEADER]", b"RFC822.TEXT", b"BODY[HEADER.FIELDS.NOT (SUBJECT)]",
])  # fmt: skip
KEYS = st.sampled_from([
    b"ALL", b"UNSEEN", b"NOT DELETED", b"OR SEEN KEYWORD $Viec", b"SUBJECT x", b"BODY noi", b"SINCE 1-Jan-2026", b"MODSEQ 3",
    b"SENTON 24-Nov-2026", b"1:* NOT 2", b"UID 1:3", b"$", b"RECENT", b"LARGER 10 SMALLER 100", b"YOUNGER 60", b"TEXT \"\"",
    b"HEADER X-Khong \"\"", b"SAVEDBEFORE 1-Jan-2030", b"EMAILID M1", b"FUZZY TEXT \"noi x\"", b"NOT FUZZY UNSEEN",
])  # fmt: skip
RETURN = st.sampled_from([b"", b"RETURN () ", b"RETURN (SAVE) ", b"RETURN (MIN MAX COUNT) ", b"RETURN (SAVE MIN ALL) ",
    b"RETURN (UPDATE) ", b"RETURN (CONTEXT UPDATE COUNT) ", b"RETURN (PARTIAL 1:2) ", b"RETURN (SAVE PARTIAL -1:-3 MAX) ",
    b"RETURN (RELEVANCY ALL) "])  # fmt: skip
CRITERIA = st.sampled_from([
    b"(SUBJECT)", b"(REVERSE DATE)", b"(FROM TO CC)", b"(REVERSE SIZE ARRIVAL)", b"(DISPLAYFROM DISPLAYTO)",
    b"(RELEVANCY)", b"()",
])  # fmt: skip
THREADS = st.sampled_from([b"REFERENCES", b"ORDEREDSUBJECT", b"REFS", b"NONE"])
SOURCES = st.sampled_from([
    b"", b"IN (personal) ", b"IN (selected) ", b"IN (mailboxes (INBOX Viec)) ", b"IN (subtree Viec subscribed) ",
    b"IN (subtree-one INBOX inboxes) ", b"IN () ",
])  # fmt: skip
UID = st.sampled_from([b"", b"UID "])


def command(*parts: object) -> st.SearchStrategy[bytes]:
    pieces = [st.just(part) if isinstance(part, bytes) else part for part in parts]
    return st.tuples(*pieces).map(b"".join)  # type: ignore[arg-type]


COMMANDS = st.one_of(
    command(b"SELECT ", FOLDER), command(b"EXAMINE ", FOLDER), command(b"SELECT ", FOLDER, b" (QRESYNC (1 2 1:9))"),
    command(UID, b"FETCH ", NUMBER, b" ", ITEMS), command(UID, b"FETCH ", NUMBER, b" (FLAGS) (CHANGEDSINCE 3)"),
    command(b"UID FETCH ", NUMBER, b" (FLAGS) (CHANGEDSINCE 1 VANISHED)"),
    command(UID, b"STORE ", NUMBER, b" ", st.sampled_from([b"+FLAGS ", b"-FLAGS.SILENT ", b"FLAGS "]), FLAGS),
    command(UID, b"STORE ", NUMBER, b" (UNCHANGEDSINCE 4) +FLAGS.SILENT ", FLAGS),
    command(UID, b"SEARCH ", RETURN, KEYS), command(UID, b"SORT ", RETURN, CRITERIA, b" UTF-8 ", KEYS),
    command(UID, b"THREAD ", THREADS, b" UTF-8 ", KEYS), command(b"ESEARCH ", SOURCES, RETURN, KEYS),
    command(b"UID FETCH ", NUMBER, b" (FLAGS) (PARTIAL -1:-2)"),
    command(UID, b"COPY ", NUMBER, b" ", FOLDER), command(UID, b"MOVE ", NUMBER, b" ", FOLDER),
    command(b"UID EXPUNGE ", NUMBER), command(b"CREATE ", FOLDER), command(b"DELETE ", FOLDER),
    command(b"RENAME ", FOLDER, b" ", FOLDER), command(b"SUBSCRIBE ", FOLDER),
    command(b"STATUS ", FOLDER, b" (MESSAGES UIDNEXT SIZE RECENT)"),
    command(b"LIST \"\" ", FOLDER), command(b"GETQUOTAROOT ", FOLDER),
    command(UID, b"REPLACE ", st.sampled_from([b"1", b"2", b"*", b"9"]), b" ", FOLDER, b" {21+}\r\nSubject: y\r\n\r\nnoi gi"),
    command(b"SETMETADATA ", FOLDER, b" (/private/a ", st.sampled_from([b"NIL", b"x", b'"y z"', b"~{3+}\r\n\0\r\n"]), b")"),
    command(b"GETMETADATA (DEPTH infinity MAXSIZE 2) ", FOLDER, b" (/private /shared)"),
    command(b"LIST \"\" ", FOLDER, b" RETURN (METADATA (/private/a))"),
    command(b"APPEND ", FOLDER, b" ", FLAGS, b" {21+}\r\nSubject: x\r\n\r\nnoi gi"),
    st.sampled_from([
        b"NOOP", b"CHECK", b"EXPUNGE", b"CLOSE", b"UNSELECT", b"IDLE\r\nDONE", b"NAMESPACE",
        b'LIST (SUBSCRIBED RECURSIVEMATCH) "" "%"',
        b'LIST "" "*" RETURN (SPECIAL-USE STATUS (MESSAGES UNSEEN))', b'LSUB "" "*"', b'XLIST "" "*"', b"ENABLE QRESYNC",
        b"ENABLE UTF8=ACCEPT", b"ENABLE IMAP4rev2", b"CAPABILITY", b"ID NIL", b"GETQUOTA \"\"", b'SETQUOTA "" (STORAGE 1)',
        b"XYZZY", b"FETCH", b"STORE 1", b"LOGIN a b", b"UIDBATCHES 500", b"NOTIFY NONE", b"NOTIFY SET (PERSONAL (MailboxName))",
        b"NOTIFY SET STATUS (SELECTED (MessageNew (FLAGS) MessageExpunge)) (PERSONAL (MessageNew MessageExpunge FlagChange))",
        b"NOTIFY SET (SELECTED-DELAYED (MessageNew MessageExpunge FlagChange)) (SUBSCRIBED (SubscriptionChange))",
        b"ENABLE UIDONLY", b'CANCELUPDATE "t1" "t2"',
    ]),
)  # fmt: skip
