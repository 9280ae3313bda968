"""What Spillway's recovery must give, computed by other means: a model that knows the changes of a run and
says any state of any collection, and a seeded generator of changes. Neither reads anything that Spillway wrote.

The rules (docs/recovery.md): a change takes part unless its `expect` did not hold, decided on all changes
with a lower LSN. state(time) = those with `ts` up to it, applied in LSN order; state(LSN) = a prefix.
"""
import dataclasses
import datetime
import json
import random

import xxhash

EVENT_BYTES_MAX = 10240  # limits.event_bytes


@dataclasses.dataclass(frozen=True)
class Change:
    collection: str
    id: str
    op: str  # insert, update, delete
    doc: bytes | None
    ts_us: int
    bookmark: str | None = None
    expect: int | None = None
    lsn: int = -1


@dataclasses.dataclass(frozen=True)
class Version:
    doc: bytes
    lsn: int
    ts_us: int


def state_hash(documents):
    """The sum modulo 2^128 of XXH3_128(le32(length of id) + id + doc), as 32 hex digits."""
    total = 0
    for doc_id, version in documents.items():
        total += document_hash(doc_id, version.doc)
    return f"{total % 2**128:032x}"


def document_hash(doc_id, doc):
    name = doc_id.encode()
    return xxhash.xxh3_128_intdigest(len(name).to_bytes(4, "little") + name + doc)


class Model:
    """The changes of one namespace, in LSN order."""

    def __init__(self):
        self.changes = {}  # collection -> [Change], LSN order, only those that took part
        self.bookmarks = {}  # (collection, bookmark) -> greatest LSN
        self.skipped = set()  # LSNs
        self.current = {}  # (collection, id) -> LSN of the current version
        self.all = []

    def add(self, change):
        """`change.lsn` must be greater than all before."""
        assert not self.all or change.lsn > self.all[-1].lsn
        self.all.append(change)
        if change.bookmark is not None:
            self.bookmarks[change.collection, change.bookmark] = change.lsn
        applied = self.changes.setdefault(change.collection, [])
        key = (change.collection, change.id)
        if change.expect is not None and self.current.get(key) != (change.expect or None):
            self.skipped.add(change.lsn)
            return
        applied.append(change)
        if change.op == "delete":
            self.current.pop(key, None)
        else:
            self.current[key] = change.lsn

    def state(self, collection, *, lsn=None, ts_us=None, exclusive=False, below=None):
        """{id: Version}; neither lsn nor ts_us: the latest. `below`: as one who knows only LSNs below it."""
        documents = {}
        for change in self.changes.get(collection, ()):
            if below is not None and change.lsn >= below:
                break
            if lsn is not None and (change.lsn > lsn or (exclusive and change.lsn == lsn)):
                break
            if ts_us is not None and (change.ts_us > ts_us or (exclusive and change.ts_us == ts_us)):
                continue
            if change.op == "delete":
                documents.pop(change.id, None)
            else:
                documents[change.id] = Version(change.doc, change.lsn, change.ts_us)
        return documents

    def history(self, collection, doc_id):
        return [change for change in self.all if (change.collection, change.id) == (collection, doc_id)]


def difference(current, wanted):
    """(inserts, updates, deletes) that turn one state's documents into another's, by the documents' bytes."""
    both = current.keys() & wanted.keys()
    return (len(wanted.keys() - current.keys()), sum(current[i].doc != wanted[i].doc for i in both),
            len(current.keys() - wanted.keys()))


def rfc3339(us, zone_minutes=0, digits=6):
    """The time in that zone; `digits` of the fraction, which must hold it exactly."""
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=us, minutes=zone_minutes)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    if digits:
        text += "." + f"{moment.microsecond:06d}".ljust(digits, "0")[:digits]
    if zone_minutes == 0:
        return text + "Z"
    sign = "-" if zone_minutes < 0 else "+"
    return f"{text}{sign}{abs(zone_minutes) // 60:02d}:{abs(zone_minutes) % 60:02d}"


def parse_rfc3339(text):
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    assert moment.tzinfo is not None, text
    return (moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(microseconds=1)


# ---- the workload --------------------------------------------------------------------------------

PLAIN_COLLECTIONS = ["users", "orders", "a"]
ODD_COLLECTIONS = ["..", ".", "/", "a/b", "../../etc/passwd", "%2e%2e", "naïve ☃ 𝒳", "two words", "-rf", "~",
                   "manifest.json", "snapshots", "tab\tand\nline", "UPPER", "upper", "'; drop table doc; --", "c" * 256,
                   "€" * 85, "." * 200]
ODD_IDS = ["/", "..", " ", "é", "e\u0301", "𝒳", "\"quoted\"", "back\\slash", "line\nfeed", "\u0001", "\u2028", "i" * 1024,
           "0", "00", "-1", "A", "a", "null"]


class Workload:
    """Seeded changes; `take(n)` gives n of them with the exact bytes of their events."""

    def __init__(self, seed, now_us, odd=True):
        self.random = random.Random(seed)
        self.now_us = now_us
        self.clock_us = now_us - 10 * 86_400_000_000
        self.collections = PLAIN_COLLECTIONS + (ODD_COLLECTIONS if odd else [])
        self.ids = [f"doc-{n}" for n in range(30)] + (ODD_IDS if odd else [])
        self.bookmark = 0
        self.deleted = []  # (collection, id), to be inserted again

    def next_ts(self):
        kind = self.random.random()
        if kind < 0.10:
            return self.clock_us  # equal to the one before
        if kind < 0.22:
            return self.clock_us - self.random.randrange(1, 86_400_000_000)  # late
        if kind < 0.23:
            return self.now_us + self.random.randrange(60_000_000, 1_800_000_000)  # a clock that runs ahead
        self.clock_us += self.random.choice([1, 999, 1000, 1_000_000, 37_000_123])
        return self.clock_us

    def value(self, depth=0):
        """A JSON text; the same field has any type."""
        r = self.random
        kind = r.randrange(11 if depth < 4 else 8)
        if kind == 0:
            return "null"
        if kind == 1:
            return r.choice(["true", "false"])
        if kind == 2:
            return r.choice(["0", "-0", "1.50e2", "1E+3", "9007199254740993", "-0.0", "123456789012345678901234567890", "1e-7"])
        if kind < 6:
            text = r.choice(["", "plain", "ünïcödé ☃", "𝒳😀", "\\ud83d\\ude00 \\u00e9", "\\\"q\\\" \\\\ \\/ \\n\\t", "\\u0000",
                             "e\u0301", "\u2028", "x" * r.randrange(200)])
            return f'"{text}"'
        if kind < 8:
            return str(r.randrange(-10**6, 10**6))
        if kind == 8:
            return self.object(depth + 1)
        return "[" + self.comma().join(self.value(depth + 1) for _ in range(r.randrange(4))) + "]"

    def comma(self):
        return self.random.choice([",", ", ", " ,\t"])

    def object(self, depth=0):
        r = self.random
        names = ["name", "n", "tags", "été", "nested", "", "a.b", "name"]
        fields = [f'"{r.choice(names)}"{r.choice([":", " : ", ":  "])}{self.value(depth)}' for _ in range(r.randrange(1, 5))]
        return "{" + self.comma().join(fields) + "}"

    def document(self):
        kind = self.random.random()
        if kind < 0.05:
            return "{}"
        if kind < 0.06:
            return "{ }"
        return self.object()

    def change(self, versions):
        r = self.random
        collection = r.choice(self.collections)
        doc_id = r.choice(self.ids)
        op = r.choices(["insert", "update", "delete"], [3, 4, 2])[0]
        if self.deleted and r.random() < 0.1:  # back again
            (collection, doc_id), op = self.deleted.pop(r.randrange(len(self.deleted))), "insert"
        if op == "delete":
            self.deleted.append((collection, doc_id))
        bookmark = None
        if r.random() < 0.15:
            self.bookmark += r.randrange(2)  # some are used several times
            bookmark = f"mark-{self.bookmark}"
        expect = None
        if r.random() < 0.1:
            expect = versions.get((collection, doc_id), 0) if r.random() < 0.6 else r.randrange(1, 1 << 40)
        doc = None if op == "delete" else self.document().encode()
        return Change(collection, doc_id, op, doc, self.next_ts(), bookmark, expect)

    def event(self, change):
        """The event's bytes: fields in any order, any zone, any spelling."""
        r = self.random
        zone, digits = r.choice([0, 0, 120, -330]), 6
        if change.ts_us % 1_000_000 == 0 and r.random() < 0.5:
            digits = 0
        fields = {"type": json.dumps(f"collection.{change.op}"), "ts": json.dumps(rfc3339(change.ts_us, zone, digits)),
                  "collection": json.dumps(change.collection, ensure_ascii=r.random() < 0.5),
                  "docId": json.dumps(change.id, ensure_ascii=r.random() < 0.5)}
        if change.doc is not None:
            fields["doc"] = change.doc.decode()
        if change.bookmark is not None:
            fields["bookmark"] = json.dumps(change.bookmark)
        if change.expect is not None:
            fields["expect"] = str(change.expect)
        if r.random() < 0.1:
            fields["prev"] = self.object()
        if r.random() < 0.3:
            fields["source"] = '"generator"'
        names = list(fields)
        r.shuffle(names)
        return ("{" + ",".join(f'"{name}":{fields[name]}' for name in names) + "}").encode()

    def take(self, count, versions):
        """[(Change, event bytes)]; `versions`: the model's `current`, for expectations that hold."""
        taken = []
        while len(taken) < count:
            change = self.change(versions)
            if change.doc is not None and self.random.random() < 0.02:  # as large as an event may be
                spare = EVENT_BYTES_MAX - 700 - len(change.collection.encode()) * 2 - len(change.id.encode()) * 2
                change = dataclasses.replace(change, doc=b'{"large":"' + b"z" * max(spare, 1) + b'"}')
            event = self.event(change)
            if len(event) <= EVENT_BYTES_MAX:
                taken.append((change, event))
        return taken
