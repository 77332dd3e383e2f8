"""The tables of `search.sqlite` (file.py): segments, their zones of text, and the sieves of large texts."""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData

from mic_mail.storage.index.tables import columns, table

metadata = MetaData()

segment = table(
    metadata,
    "segment",
    *columns(BigInteger, "segment_id"),
    Column("dead_since_us", BigInteger),
    *columns(BigInteger, "octets", "checksum"),
    *columns(LargeBinary, "messages"),
    *columns(BigInteger, "values_checksum"),
    *columns(LargeBinary, "values_blob"),  # last, as below
    key=["segment_id"],
    with_rowid=True,
)
zone = table(
    metadata,
    "zone",
    *columns(BigInteger, "segment_id"),
    *columns(Integer, "zone"),
    *columns(BigInteger, "words_checksum", "flow_checksum"),
    *columns(Integer, "sieved"),  # pieces of its sieve
    *columns(LargeBinary, "words_checksums", "flow_checksums"),  # those of pieces of the words, and of the flow
    *columns(LargeBinary, "words", "flow"),  # the flow last, so that reading the words never touches its pages
    key=["segment_id", "zone"],
    with_rowid=True,
)
sieve = table(
    metadata,
    "sieve",
    *columns(BigInteger, "segment_id"),
    *columns(Integer, "zone", "piece"),
    *columns(BigInteger, "checksum"),
    *columns(LargeBinary, "bits"),
    key=["segment_id", "zone", "piece"],
    with_rowid=True,
)
