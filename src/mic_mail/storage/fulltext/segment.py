"""The text of some messages, packed so that one query is answered for all of them together. Pure.

In: documents (one for each message, by zone), or the blobs of an older segment. Out: blobs, and the documents that match a
query, by their place in the segment. The result is that of `SearchValue.occurs_in` on every piece of every document.

    Words    each different word of a zone once, the commonest first, as written and folded, and the documents that have it
    sieve    of one large text, whose words are read only if all runs of four letters of the query's words are there
    Flow     every text as a string with one character a word, U+0000 before each piece; and a sieve of neighbouring words
    values   one a document, of any octets: stored and returned unchanged

A query within one word is searched among the different words, which are few: 1 of 100 in prose. The documents that have one of
the matching words are the result; no text is read. A phrase is searched in the flows of those documents that have all its
words; its first word may be the end of one, its last the beginning. Accents cost nothing: both spellings have the same number.

Measured on 10,000 messages of 447 MB (decision 0022): 51 MB, a word 0.1 to 3 ms, a phrase 3 to 15 ms, without the sieve 30.
"""

import re
import sys
from array import array
from bisect import bisect_right
from codecs import getincrementaldecoder
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import accumulate, pairwise, product, repeat
from math import prod
from struct import Struct

from mic_mail.mime.search_text import ZONES, Zone
from mic_mail.mime.text_folding import SearchValue, fold, word_batches

TEXT_VERSION = 9 if sys.byteorder == "little" else 10
"""Version of the text (what counts as words), of the values and of the blobs; those of another are not read."""
MAX_WORDS = 8_000_000
"""Limit of words in one document, four octets each in memory: two parts of 8 MiB of single letters have as many."""
MAX_DIFFERENT_WORDS = 500_000
"""Limit of different words in one document: a message with more is no text, and is read for each new query.

A segment takes twice as many in all its documents, as there are 1,112,063 characters to stand for them.
"""
_AT_ONCE = 1 << 16
"""Words converted or searched in one call: a millisecond or two, in which no other thread runs."""

_SURROGATES = 0xD800
"""First surrogate, which is no character; word numbers skip the surrogates."""
_NARROW_WORDS = 0x10000 - 0x800
"""Words of a zone up to which the number of each, surrogates skipped, is below U+10000."""
_SIEVE_BUCKETS = 1 << 13
_SIEVE_FROM = 64
"""Documents from which on a sieve is used; fewer are searched directly."""
_SIEVED_ZONES: frozenset[Zone] = frozenset({"body"})
_MOST_WAYS = 64
"""Limit of the spellings of a phrase that are searched one by one."""
LARGE_LETTERS = 1 << 20
"""A text whose different words have so many letters is a large one.

It is no prose, and takes several milliseconds to read.
"""
SIEVE_MODULUS = 16_777_213
"""A prime: two MiB of bits. A message of 27 MiB of random letters sets a twentieth of them."""
_RUN = 4
_LENGTHS = Struct("<IIIII")
_FLOW_LENGTHS = Struct("<II")


class TooLong(Exception):
    """The document has more words than a segment takes."""


class IndexedDocument:
    """One message's words by zone: the different ones, and their sequence; `value` is stored beside them."""

    __slots__ = ("flows", "value", "vocabularies")

    def __init__(self, value: bytes = b"") -> None:
        self.value = value
        self.vocabularies: dict[Zone, dict[str, int]] = {}
        self.flows: dict[Zone, array[int]] = {}

    @classmethod
    def of(cls, pieces: Iterable[tuple[Zone, str]], value: bytes = b"") -> "IndexedDocument":
        """Make a document from the output of `search_text.text_parts`; `TooLong` where it has too many words."""
        document, left = cls(value), MAX_WORDS
        for zone, text in pieces:
            left -= document._add(zone, text, left)
        return document

    @property
    def different_words(self) -> int:
        return sum(map(len, self.vocabularies.values()))

    def large_zones(self) -> list[Zone]:
        """Return the zones with so many letters that the document should be alone in its segment, with a sieve."""
        return [zone for zone, words in self.vocabularies.items() if sum(map(len, words)) >= LARGE_LETTERS]

    def _add(self, zone: Zone, text: str, left: int) -> int:
        vocabulary = self.vocabularies.setdefault(zone, {})
        flow = self.flows.setdefault(zone, array("I"))
        before = len(flow)
        flow.append(0)
        for words in word_batches(text):
            flow.extend([vocabulary.setdefault(word, len(vocabulary) + 1) for word in words])
            if len(flow) - before > left or self.different_words > MAX_DIFFERENT_WORDS:
                raise TooLong
        return len(flow) - before


def _code(number: int) -> int:
    return number if number < _SURROGATES else number + 0x800


def _number(code: int) -> int:
    return code if code < _SURROGATES else code - 0x800


@dataclass(slots=True)
class Words:
    """The different words of one zone: `text` is ` word word ... `.

    `holders[starts[n]:starts[n + 1]]` are the documents with word n. Words with other letters than ASCII come first, `wide` of
    them, so that a needle with such letters is not searched among the identifiers and signatures of which headers are full;
    within both groups the commonest first.
    """

    text: bytes
    folded: bytes
    holders: "array[int]"
    begins: "array[int]"
    folded_begins: "array[int]"
    starts: "array[int]"
    wide: int
    filled: int
    """Documents that have any word."""

    @classmethod
    def unpack(cls, blob: bytes) -> "Words":
        text_octets, folded_octets, count, held, wide = _LENGTHS.unpack_from(blob)
        reader = _Reader(blob, _LENGTHS.size)
        text = reader.octets(text_octets)
        begins = array("I", accumulate(reader.numbers("I", count), initial=1))
        folded = reader.octets(folded_octets) if folded_octets else text
        folded_begins = array("I", accumulate(reader.numbers("I", count), initial=1)) if folded_octets else begins
        starts = array("I", accumulate(reader.numbers("H", count), initial=0))
        holders = reader.numbers("H", held)
        return cls(text, folded, holders, begins, folded_begins, starts, wide, len(set(holders)))

    @property
    def are_narrow(self) -> bool:
        """Return whether the number of each word takes two octets in a flow."""
        return len(self.begins) <= _NARROW_WORDS

    @property
    def octets(self) -> int:
        """Octets in memory."""
        folded = 0 if self.folded is self.text else len(self.folded) + 4 * len(self.folded_begins)
        return len(self.text) + folded + 2 * len(self.holders) + 4 * (len(self.begins) + len(self.starts))

    def numbers(self, needle: bytes, *, folded: bool) -> Iterator[int]:
        """Yield the words in which `needle` occurs; a space in it is the edge of a word."""
        text, begins = (self.folded, self.folded_begins) if folded else (self.text, self.begins)
        end = len(text) if needle.isascii() else begins[self.wide]
        at, led = text.find(needle, 0, end), needle.startswith(b" ")
        while at >= 0:
            number = bisect_right(begins, at + led) - 1
            yield number
            at = text.find(needle, begins[number + 1] - 1, end)

    def holders_of(self, number: int) -> "array[int]":
        """Return the documents that have a word."""
        return self.holders[self.starts[number] : self.starts[number + 1]]

    def having(self, numbers: Iterable[int]) -> set[int]:
        """Return the documents that have one of these words."""
        found: set[int] = set()
        for number in numbers:
            found.update(self.holders_of(number))
            if len(found) == self.filled:
                break
        return found


def words_span(blob: bytes, *, folded: bool) -> tuple[int, int]:
    """Return where `Words.text`, or `Words.folded`, lies in the blob that begins with these octets."""
    text_octets, folded_octets, count, _, _ = _LENGTHS.unpack_from(blob)
    start = _LENGTHS.size
    if not folded or not folded_octets:
        return start, start + text_octets
    start += text_octets + array("I").itemsize * count
    return start, start + folded_octets


class _Reader:
    __slots__ = ("_at", "_blob")

    def __init__(self, blob: bytes, at: int) -> None:
        self._blob = blob
        self._at = at

    def octets(self, count: int) -> bytes:
        self._at += count
        return self._blob[self._at - count : self._at]

    def numbers(self, code: str, count: int) -> "array[int]":
        numbers = array(code)
        numbers.frombytes(self.octets(numbers.itemsize * count))
        return numbers

    def rest(self) -> bytes:
        return self._blob[self._at :]


@dataclass(slots=True)
class Flow:
    """The texts of one zone, one after the other; document n is `text[begins[n]:begins[n + 1]]`.

    `sieve`, where there is one, has a row of bits for each bucket of word pairs: the documents that contain some pair of the
    bucket. A document without its bit does not contain the pair.
    """

    text: str
    begins: "array[int]"
    sieve: bytes

    @classmethod
    def unpack(cls, blob: bytes) -> "Flow":
        count, sieved = _FLOW_LENGTHS.unpack_from(blob)
        reader = _Reader(blob, _FLOW_LENGTHS.size)
        begins = array("I", accumulate(reader.numbers("I", count), initial=0))
        sieve = reader.octets(sieved)
        return cls(_text_of(reader.rest()), begins, sieve)

    @property
    def octets(self) -> int:
        """Octets in memory."""
        return sys.getsizeof(self.text) + 4 * len(self.begins) + len(self.sieve)

    def of(self, document: int) -> str:
        return self.text[self.begins[document] : self.begins[document + 1]]

    def spans(self, document: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield where each part of a document begins and ends; `length` words in succession lie within one of them."""
        end = self.begins[document + 1]
        for begin in range(self.begins[document], end, _AT_ONCE):
            yield begin, min(end, begin + _AT_ONCE + length - 1)

    def sieved(self, first: int, second: int) -> int:
        """Return, as bits, the documents that may contain these two words in succession."""
        width = len(self.sieve) // _SIEVE_BUCKETS
        at = _bucket(first, second) * width
        return int.from_bytes(self.sieve[at : at + width], "little")


def flow_beginnings(read: Callable[[int, int], bytes], documents: Collection[int], words: int) -> Flow:
    """Return the flow with the first `words` words of these documents, and without the others.

    `read` returns the octets of the flow's blob from one offset to another; each word takes two of them.
    """
    count, sieved = _FLOW_LENGTHS.unpack_from(read(0, _FLOW_LENGTHS.size))
    lengths = array("I")
    end = _FLOW_LENGTHS.size + lengths.itemsize * count
    lengths.frombytes(read(_FLOW_LENGTHS.size, end))
    ends = list(accumulate(lengths, initial=0))
    kept = array("I", bytes(lengths.itemsize * count))
    texts: list[str] = []
    for document in sorted(documents):
        kept[document] = min(words, lengths[document])
        start = end + sieved + 2 * ends[document]
        texts.append(read(start, start + 2 * kept[document]).decode("utf-16-le"))
    return Flow("".join(texts), array("I", accumulate(kept, initial=0)), b"")


def _text_of(octets: bytes) -> str:
    """Decode a flow in pieces; a decoder keeps the half of a pair that a piece ends with."""
    if len(octets) <= 2 * _AT_ONCE:
        return octets.decode("utf-16-le")
    decode = getincrementaldecoder("utf-16-le")().decode
    return "".join([decode(octets[at : at + 2 * _AT_ONCE]) for at in range(0, len(octets), 2 * _AT_ONCE)])


def _bucket(first: int, second: int) -> int:
    return (first * 509 + second) & (_SIEVE_BUCKETS - 1)


@dataclass(frozen=True, slots=True)
class Packed:
    """A segment as stored: the blobs of words and of flow by zone, and its values."""

    documents: int
    zones: dict[Zone, tuple[bytes, bytes]]
    values: bytes
    sieves: Mapping[Zone, bytes] = field(default_factory=dict)
    """The `letter_sieve` of zones with many words; empty where the segment was read from the file."""

    @property
    def octets(self) -> int:
        octets = sum(len(words) + len(flow) for words, flow in self.zones.values())
        return octets + len(self.values) + sum(map(len, self.sieves.values()))


def pack(documents: Sequence[IndexedDocument]) -> Packed:
    """Make a segment; the documents' places are their order."""
    values = pack_values([document.value for document in documents])
    zones = {zone: _pack_zone(zone, documents) for zone in ZONES}
    sieves: dict[Zone, bytes] = {}
    if len(documents) == 1:
        for zone in documents[0].large_zones():
            sieves[zone] = letter_sieve(Words.unpack(zones[zone][0]).folded)
    return Packed(len(documents), zones, values, sieves)


def pack_values(values: Sequence[bytes]) -> bytes:
    """Pack values: their lengths, then their octets."""
    return array("I", map(len, values)).tobytes() + b"".join(values)


def unpack_values(blob: bytes, documents: int) -> list[bytes]:
    """Return the values that `pack_values` was given, `documents` of them; 0.1 us each."""
    reader = _Reader(blob, 0)
    ends = array("I", accumulate(reader.numbers("I", documents), initial=0))
    values = reader.rest()
    return [values[start:end] for start, end in pairwise(ends)]


def _pack_zone(zone: Zone, documents: Sequence[IndexedDocument]) -> tuple[bytes, bytes]:
    vocabularies = [document.vocabularies.get(zone, {}) for document in documents]
    holders: dict[str, list[int]] = {}
    for place, vocabulary in enumerate(vocabularies):
        for word in vocabulary:
            if (known := holders.get(word)) is None:
                holders[word] = [place]
            else:
                known.append(place)
    ordered = sorted(holders, key=lambda word: (word.isascii(), -len(holders[word])))
    codes = {word: _code(number) for number, word in enumerate(ordered, 1)}
    flows: list[array[int]] = []
    for document, vocabulary in zip(documents, vocabularies, strict=True):
        spelled = [0, *map(codes.__getitem__, vocabulary)]
        flow = array("I")
        for some in _pieces(document.flows.get(zone, flow)):
            flow.extend(map(spelled.__getitem__, some))
        flows.append(flow)
    words = _pack_words(ordered, [holders[word] for word in ordered])
    return words, _pack_flows(flows, sieved=zone in _SIEVED_ZONES and len(flows) >= _SIEVE_FROM)


def _pack_flows(flows: "list[array[int]]", *, sieved: bool) -> bytes:
    sieve = _sieve_of(flows) if sieved else b""
    lengths = _FLOW_LENGTHS.pack(len(flows), len(sieve)) + array("I", map(len, flows)).tobytes()
    texts = (some.tobytes().decode("utf-32-le").encode("utf-16-le") for flow in flows for some in _pieces(flow))
    return b"".join((lengths, sieve, *texts))


def _pieces(flow: "array[int]") -> Iterator["array[int]"]:
    for at in range(0, len(flow), _AT_ONCE):
        yield flow[at : at + _AT_ONCE]


def _sieve_of(flows: "list[array[int]]") -> bytes:
    width, mask = (len(flows) + 7) // 8, _SIEVE_BUCKETS - 1
    sieve = bytearray(_SIEVE_BUCKETS * width)
    for place, flow in enumerate(flows):
        at, bit = place >> 3, 1 << (place & 7)
        for bucket in {(first * 509 + second) & mask for first, second in pairwise(flow)}:
            sieve[bucket * width + at] |= bit
    return bytes(sieve)


def _pack_words(ordered: list[str], holders: list[list[int]]) -> bytes:
    text, steps = _joined(ordered)
    wide = sum(not word.isascii() for word in ordered)
    folded, folded_steps = _joined([fold(word) for word in ordered]) if wide else (b"", b"")
    counts = array("H", map(len, holders)).tobytes()
    held = array("H", [place for places in holders for place in places])
    lengths = _LENGTHS.pack(len(text), len(folded), len(ordered), len(held), wide)
    return b"".join((lengths, text, steps, folded, folded_steps, counts, held.tobytes()))


def _joined(words: list[str]) -> tuple[bytes, bytes]:
    """Return the words between spaces, and the distance from the beginning of each to the next."""
    encoded = [needle(word) for word in words]
    return b" %b " % b" ".join(encoded) if words else b"", array("I", [len(word) + 1 for word in encoded]).tobytes()


def unpack(packed: Packed, places: Collection[int]) -> list[IndexedDocument]:
    """Return the documents at these places, to be repacked with others."""
    values = unpack_values(packed.values, packed.documents)
    documents = [IndexedDocument(values[place]) for place in places]
    for zone, (words_blob, flow_blob) in packed.zones.items():
        words, flow = Words.unpack(words_blob), Flow.unpack(flow_blob)
        spelled = words.text[1:-1].decode("utf-8", "surrogatepass").split(" ")
        for document, place in zip(documents, places, strict=True):
            codes = array("I", flow.of(place).encode("utf-32-le"))
            used = [code for code in dict.fromkeys(codes) if code]
            numbers = {0: 0} | {code: number for number, code in enumerate(used, 1)}
            document.vocabularies[zone] = {spelled[_number(code) - 1]: numbers[code] for code in used}
            document.flows[zone] = array("I", map(numbers.__getitem__, codes))
    return documents


def letter_sieve(text: bytes) -> bytes:
    """Return a bit for each remainder of the runs of four octets that occur in a text, by `SIEVE_MODULUS`."""
    marks = bytearray(SIEVE_MODULUS + -SIEVE_MODULUS % 8)
    remainder, mark = SIEVE_MODULUS.__rmod__, marks.__setitem__
    for start in range(0, len(text), _AT_ONCE):
        for shift in range(_RUN):
            some = text[start + shift : start + shift + _AT_ONCE]
            runs = memoryview(some[: len(some) // _RUN * _RUN]).cast("I")
            deque(map(mark, map(remainder, runs), repeat(1)), maxlen=0)
    return reduce(int.__or__, (int.from_bytes(marks[bit::8], "little") << bit for bit in range(8))).to_bytes(
        len(marks) // 8, "little"
    )


def sieve_places(query: SearchValue) -> list[int]:
    """Return the bits that the `letter_sieve` of a text has if the query occurs in it; none for a short query."""
    words = [needle(fold(each)) for each in needles(query)]
    runs = {word[at : at + _RUN] for word in words for at in range(len(word) - _RUN + 1)}
    return sorted({int.from_bytes(run, sys.byteorder) % SIEVE_MODULUS for run in runs})


def needles(query: SearchValue) -> list[str]:
    """Return what has to occur among the words for a query to occur in a text; a space is the edge of a word."""
    first, *rest = query.text.strip(" ").split(" ")
    if not rest:
        return [query.text]
    *inner, last = rest
    edges = [" " * query.text.startswith(" ") + first + " ", *(f" {word} " for word in inner)]
    return [*edges, " " + last + " " * query.text.endswith(" ")]


def needle(text: str) -> bytes:
    """Return a part of a query in the form that is searched among words."""
    return text.encode("utf-8", "surrogatepass")


class Phrase:
    """A query of several words against one zone of one segment."""

    __slots__ = ("_choices", "_words", "candidates")

    def __init__(self, query: SearchValue, words: Words) -> None:
        self._words = words
        self._choices: list[list[int]] = []
        """For each word of the phrase, the matching words' numbers, the commonest first."""
        self.candidates: set[int] = set()
        for turn, each in enumerate(needles(query)):
            numbers = list(words.numbers(needle(each), folded=query.folded))
            having = words.having(numbers)
            self._choices.append(numbers)
            self.candidates = self.candidates & having if turn else having
            if not self.candidates:
                break

    def among(self, candidates: set[int], flow: Flow) -> set[int]:
        """Return those of the candidates that contain the phrase."""
        if prod(map(len, self._choices)) > _MOST_WAYS:
            return self._by_expression(candidates, flow)
        holders = {number: set(self._words.holders_of(number)) for numbers in self._choices for number in numbers}
        found: set[int] = set()
        for way in product(*self._choices):
            left = reduce(set.intersection, map(holders.__getitem__, way), candidates - found)
            if left:
                found |= _having(left, [_code(number + 1) for number in way], flow)
        return found

    def _by_expression(self, candidates: set[int], flow: Flow) -> set[int]:
        """Search by regular expression, where too many words match to be tried one by one."""
        text, length = flow.text, len(self._choices)
        codes = ("".join([re.escape(chr(_code(number + 1))) for number in numbers]) for numbers in self._choices)
        search = re.compile("".join([f"[{each}]" for each in codes])).search
        return {each for each in candidates if any(search(text, *span) for span in flow.spans(each, length))}


def _having(candidates: set[int], codes: list[int], flow: Flow) -> set[int]:
    find, sign = flow.text.find, "".join(map(chr, codes))
    bits = -1
    if flow.sieve and len(candidates) >= _SIEVE_FROM:
        bits = reduce(int.__and__, (flow.sieved(first, second) for first, second in pairwise(codes)))
    allowed = (each for each in candidates if bits >> each & 1)
    return {each for each in allowed if any(find(sign, *span) >= 0 for span in flow.spans(each, len(sign)))}
