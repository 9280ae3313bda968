"""Restores in place through a running server: 40,000 wrong deletes undone without losing what was written since; bounds,
selections, conflicts, and the undo of a restore."""
import json
import os
import threading

import pytest
import requests
from recovery import NAMESPACE, SMALL, Recorder, assert_same, framed, ingest_lines, now_us, quote, read_ndjson, run_bytes
from recovery_model import difference, rfc3339


def in_place(server, collection, *flags, expect_status=0):
    done = run_bytes("restore", "--server", f"http://{server.http}", "--in-place", "--json", *flags,
                     f"{NAMESPACE}/{collection}", timeout=300)
    assert done.returncode == expect_status, done
    return json.loads(done.stdout) if expect_status == 0 else done.stderr.decode()


def state(server, collection, **target):
    reply = server.get(f"/state/{NAMESPACE}/{quote(collection)}", params=target)
    assert reply.status_code == 200, reply.text
    return read_ndjson(reply.content)


def documents(versions):
    return {doc_id: version.doc for doc_id, version in versions.items()}


def counts(result):
    return result["inserts"], result["updates"], result["deletes"]


def change_line(op, collection, doc_id, doc=None, ts=None):
    tail = "" if doc is None else f',"doc":{doc}'
    return (f'{{"type":"collection.{op}","ts":"{ts or rfc3339(now_us())}","collection":"{collection}","docId":"{doc_id}"{tail}}}'
            ).encode()


def wrong_deletes(make_server, count):
    """`count` documents of which all but a few are deleted by mistake; good writes follow; back to before the accident."""
    server = make_server(*SMALL)
    early = rfc3339(now_us() - 120_000_000)
    ingest_lines(server, [change_line("insert", "orders", f"o{n:06d}", f'{{"n": {n}}}', early) for n in range(count)])
    assert server.post("/flush").status_code == 200
    before = documents(state(server, "orders"))
    assert len(before) == count
    kept = count // 100
    first = ingest_lines(server, [change_line("delete", "orders", "o000000")])
    last = ingest_lines(server, [change_line("delete", "orders", f"o{n:06d}") for n in range(1, count - kept)])
    assert last - first == count - kept - 1
    good = [change_line("insert", "orders", f"new{n}", f'{{"good":{n}}}') for n in range(50)]
    good += [change_line("update", "orders", f"o{count - 1 - n:06d}", f'{{"better":{n}}}') for n in range(kept)]
    good += [change_line("insert", "orders", f"o{n:06d}", f'{{"again":{n}}}') for n in range(20)]  # came back by themselves
    ingest_lines(server, good)
    after = documents(state(server, "orders"))
    plan = in_place(server, "orders", "--undo", f"{first}..{last}", "--dry-run")
    assert counts(plan) == (count - kept - 20, 0, 0), plan
    refused = in_place(server, "orders", "--undo", f"{first}..{last}", "--max-changes", "100", expect_status=1)
    assert "100" in refused
    assert documents(state(server, "orders")) == after, "a refused restore changes nothing"
    done = in_place(server, "orders", "--undo", f"{first}..{last}")
    assert counts(done) == counts(plan), done
    assert documents(state(server, "orders")) == {**before, **after}, "all deletes undone, all good writes kept"
    again = in_place(server, "orders", "--undo", f"{first}..{last}")
    assert counts(again) == (0, 0, 0), "a rerun converges"


def test_wrong_deletes_are_undone_without_losing_good_writes(make_server):
    wrong_deletes(make_server, 3000)


def test_an_id_with_nul_is_named_like_any_other(make_server):
    server = make_server(*SMALL)
    first = ingest_lines(server, [change_line("insert", "orders", doc_id, '{"n":1}') for doc_id in ("a", "a\\u0000", "b")]) - 2
    ingest_lines(server, [change_line("delete", "orders", doc_id) for doc_id in ("a", "a\\u0000", "b")])
    reply = server.post(f"/restore/{NAMESPACE}/orders", json={"lsn": first + 2, "ids": ["b", "a\0"]})
    assert reply.status_code == 200 and counts(reply.json()) == (2, 0, 0), reply.text
    assert set(state(server, "orders")) == {"a\0", "b"}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_40000_wrong_deletes_are_undone_without_losing_good_writes(make_server):
    wrong_deletes(make_server, 40_400)


@pytest.fixture
def three(make_server):
    """A server with a deletion, an update and an insertion after LSN `at`, and the states before and after."""
    recorder = Recorder(make_server(*SMALL), 17, odd=False)
    for doc_id in ("gone", "changed", "same"):
        recorder.change("t", doc_id, "insert", f'{{"id":"{doc_id}"}}')
    recorder.at = recorder.end - 1
    recorder.change("t", "gone", "delete")
    recorder.change("t", "changed", "update", '{"changed":true}')
    recorder.change("t", "new", "insert", '{"new":true}')
    recorder.before = {i: v.doc for i, v in recorder.model.state("t", lsn=recorder.at).items()}
    recorder.after = {i: v.doc for i, v in recorder.model.state("t").items()}
    return recorder


@pytest.mark.short
def test_in_place_is_what_the_dry_run_said_and_can_be_undone(three):
    server = three.server
    target = ["--lsn", str(three.at)]
    plan = in_place(server, "t", *target, "--dry-run")
    assert counts(plan) == (1, 1, 1) == difference(three.model.state("t"), three.model.state("t", lsn=three.at))
    assert documents(state(server, "t")) == three.after
    done = in_place(server, "t", *target)
    assert counts(done) == (1, 1, 1)
    assert documents(state(server, "t")) == three.before
    # What was is still there, and the restore is three changes that say what they are.
    assert documents(state(server, "t", lsn=three.end - 1)) == three.after
    lines = server.get(f"/changes/{NAMESPACE}/t", params={"from": three.end}).content.splitlines()
    made = [json.loads(line) for line in lines]
    assert len(made) == 3 and all("restore" in change for change in made)
    undo = in_place(server, "t", "--undo", f"{three.end}..{made[-1]['lsn']}")
    assert counts(undo) == (1, 1, 1)
    assert documents(state(server, "t")) == three.after
    server.restart(kill=True)
    assert documents(state(server, "t")) == three.after


@pytest.mark.short
@pytest.mark.parametrize("only, wanted", [("deletes", (1, 0, 0)), ("updates", (0, 1, 0)), ("inserts", (0, 0, 1))])
def test_only_goes_back_on_one_kind_of_change(three, only, wanted):
    """--only deletes: what was deleted comes back, and nothing else happens."""
    done = in_place(three.server, "t", "--lsn", str(three.at), "--only", only)
    assert counts(done) == wanted
    doc_id = {"deletes": "gone", "updates": "changed", "inserts": "new"}[only]
    mixed = dict(three.after)
    mixed.pop(doc_id, None)
    if doc_id in three.before:
        mixed[doc_id] = three.before[doc_id]
    assert documents(state(three.server, "t")) == mixed


@pytest.mark.short
def test_ids_names_the_documents(three, tmp_path):
    (tmp_path / "ids").write_text("changed\nno-such-document\n")
    done = in_place(three.server, "t", "--lsn", str(three.at), "--ids", str(tmp_path / "ids"))
    assert counts(done) == (0, 1, 0)
    assert documents(state(three.server, "t")) == {**three.after, "changed": three.before["changed"]}


@pytest.mark.short
def test_ids_that_are_not_there_are_named(three, tmp_path):
    missing = [f"none-{n:02d}" for n in range(12)]
    (tmp_path / "ids").write_text("\n".join(["same", "changed", "gone", "gone", *missing]))
    here, server = ("--data", three.server.data), ("--server", f"http://{three.server.http}", "--in-place")
    for way in [(*here, "--dry-run"), (*server, "--dry-run"), server]:
        for form in ((), ("--json",)):
            done = run_bytes("restore", *way, *form, "--lsn", three.at, "--ids", tmp_path / "ids", f"{NAMESPACE}/t")
            shown = " ".join(f'"{name}"' for name in missing[:10])
            assert done.stderr.decode() == f"spillway restore: 3 of 15 ids found; not found: {shown} and more\n", done
            if form:
                said = json.loads(done.stdout)
                assert said["idsFound"] == 3 and said["idsMissing"] == missing[:10], said
    (tmp_path / "ids").write_text("same\n")
    done = run_bytes("restore", *here, "--dry-run", "--lsn", three.at, "--ids", tmp_path / "ids", f"{NAMESPACE}/t")
    assert done.returncode == 0 and not done.stderr, done


@pytest.mark.short
def test_over_http(three):
    server = three.server
    path = f"/restore/{NAMESPACE}/t"
    plan = server.post(path, json.dumps({"lsn": three.at, "dryRun": True}))
    assert plan.status_code == 200 and counts(plan.json()) == (1, 1, 1), plan.text
    assert documents(state(server, "t")) == three.after
    for body in (b"", b"[]", b'{"lsn":-1}', b'{"lsn":"x"}', b'{"at":"2026-01-01T00:00:00"}', b'{"lsn":1,"latest":true}',
                 b'{"lsn":99999}', b'{"bookmark":"none"}', b'{"snapshot":"none"}', b'{"snapshot":"x","exclusive":true}', b"{"):
        reply = server.post(path, body)
        assert 400 <= reply.status_code < 500 and reply.json()["error"], (body, reply.text)
    assert server.post(f"/restore/{NAMESPACE}/none", b'{"lsn":1}').status_code == 404
    assert documents(state(server, "t")) == three.after
    done = server.post(path, json.dumps({"lsn": three.at}))
    assert done.status_code == 200 and counts(done.json()) == (1, 1, 1), done.text
    assert documents(state(server, "t")) == three.before


def test_concurrent_writers_win(make_server):
    """Writers go on while a restore in place runs: each of their last writes survives unless the restore came after it
    and replaced the very version that it had looked at; nothing in between."""
    server = make_server(*SMALL)
    early = rfc3339(now_us() - 60_000_000)
    ingest_lines(server, [change_line("insert", "c", f"d{n}", '{"v":"old"}', early) for n in range(5000)])
    lsn = ingest_lines(server, [change_line("update", "c", f"d{n}", '{"v":"wrong"}') for n in range(5000)]) - 5000
    stop, written = threading.Event(), {}

    def write():
        session = requests.Session()
        n = 0
        while not stop.is_set():
            doc_id = f"d{n * 37 % 5000}"
            reply = session.post(server.url("/ingest"), data=b"[" + change_line("update", "c", doc_id, f'{{"writer":{n}}}') + b"]",
                                 headers={"Content-Type": "application/json"}, timeout=30)
            assert reply.status_code == 200, reply.text
            written[doc_id] = (reply.json()["lsn"], f'{{"writer":{n}}}'.encode())
            n += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = in_place(server, "c", "--lsn", str(lsn))
    finally:
        stop.set()
        writer.join()
    assert server.post("/flush").status_code == 200
    changes = [json.loads(line) for line in all_changes(server, "c")]
    skipped = [c for c in changes if c.get("skipped")]
    assert all("restore" in c for c in skipped), "only the restore's changes are conditional"
    now = state(server, "c")
    for doc_id, version in now.items():
        assert version.doc == b'{"v":"old"}' or version.doc == written[doc_id][1], (doc_id, version)
    for change in skipped:  # somebody had written between the look and the append
        assert written[change["docId"]][0] < change["lsn"], change
    assert len(now) == 5000 and sum(counts(done)) <= 5000 + len(written)


def all_changes(server, collection):
    lines, start = [], 0
    while True:
        reply = server.get(f"/changes/{NAMESPACE}/{collection}", params={"from": start})
        assert reply.status_code == 200, reply.text
        page = reply.content.splitlines()
        if not page:
            return lines
        lines += page
        start = json.loads(page[-1])["lsn"] + 1


def test_killed_half_way_each_document_is_old_or_new_and_a_rerun_converges(make_server):
    server = make_server(*SMALL)
    early = rfc3339(now_us() - 60_000_000)
    ingest_lines(server, [change_line("insert", "c", f"d{n}", '{"v":"old"}', early) for n in range(20_000)])
    lsn = ingest_lines(server, [change_line("update", "c", f"d{n}", '{"v":"wrong"}') for n in range(20_000)]) - 20_000
    process = threading.Thread(target=run_bytes, args=("restore", "--server", f"http://{server.http}", "--in-place", "--lsn",
                                                       str(lsn), f"{NAMESPACE}/c"))
    process.start()
    while len(state(server, "c")) and all(v.doc == b'{"v":"wrong"}' for v in state(server, "c").values()) and process.is_alive():
        pass
    server.kill()
    process.join()
    server.start()
    assert {v.doc for v in state(server, "c").values()} <= {b'{"v":"old"}', b'{"v":"wrong"}'}
    in_place(server, "c", "--lsn", str(lsn))
    now = state(server, "c")
    assert {v.doc for v in now.values()} == {b'{"v":"old"}'} and len(now) == 20_000


# ---- bad changes ---------------------------------------------------------------------------------


@pytest.mark.short
def test_bad_changes_are_refused_and_harm_nobody(server):
    good = '"type":"collection.insert","ts":"2026-01-01T00:00:00Z"'
    ahead = rfc3339(now_us() + 2 * 3_600_000_000)
    cases = [f'{{{good},"collection":"t","doc":{{}}}}', f'{{{good},"docId":"a","doc":{{}}}}',
             f'{{{good},"collection":"","docId":"a","doc":{{}}}}', f'{{{good},"collection":"t","docId":"","doc":{{}}}}',
             f'{{{good},"collection":"{"c" * 300}","docId":"a","doc":{{}}}}', f'{{{good},"collection":"t","docId":7,"doc":{{}}}}',
             f'{{{good},"collection":"t","docId":"a","doc":{{}},"restore":{{}}}}',
             f'{{"type":"collection.insert","ts":"{ahead}","collection":"t","docId":"a","doc":{{}}}}',
             f'{{{good},"collection":"t","docId":"{"i" * 1025}","doc":{{}}}}',
             f'{{{good},"collection":"t","docId":"a"}}', f'{{{good},"collection":"t","docId":"a","doc":[1]}}',
             f'{{{good},"collection":"t","docId":"a","doc":"text"}}', f'{{{good},"collection":"t","docId":"a","doc":null}}',
             f'{{{good},"collection":"t","docId":"a","doc":{{}},"expect":-1}}',
             f'{{{good},"collection":"t","docId":"a","doc":{{}},"expect":"x"}}',
             f'{{{good},"collection":"t","docId":"a","doc":{{}},"expect":null}}',
             f'{{{good},"collection":"t\\u0000","docId":"a","doc":{{}}}}',
             '{"type":"collection.upsert","ts":"2026-01-01T00:00:00Z","collection":"t","docId":"a","doc":{}}']
    for body in cases:
        reply = server.post("/ingest", f"[{body}]".encode())
        assert reply.status_code == 400 and reply.json()["code"] == "INVALID_EVENT", (body[:100], reply.text)
    assert server.post("/ingest", f'[{{{good},"collection":"t","docId":"fine","doc":{{}}}}]'.encode()).status_code == 200
    assert server.post("/flush").status_code == 200
    assert documents(state(server, "t")) == {"fine": b"{}"}


def test_names_stay_inside_the_store(make_server):
    """Whatever a collection is called, its files lie in the store and its documents come back."""
    recorder = Recorder(make_server(*SMALL), 44)
    for n, collection in enumerate(recorder.workload.collections):
        recorder.change(collection, "a", "insert", f'{{"n":{n}}}')
    recorder.flush()
    data = recorder.server.data
    for path in data.rglob("*"):
        assert len(os.fsencode(path.name)) < 200 and path.resolve().is_relative_to(data.resolve())
    assert not (data.parent / "etc").exists()
    for n, collection in enumerate(recorder.workload.collections):
        assert_same(state(recorder.server, collection), framed(recorder.model.state(collection)), collection)
        done = run_bytes("restore", "--store", f"file:{data}/store", "--lsn", recorder.end - 1, f"{NAMESPACE}/{collection}")
        assert done.returncode == 0 and b'{"n":%d}' % n in done.stdout, (collection, done)
    done = run_bytes("collections", "--data", data, "--json", NAMESPACE)
    assert done.returncode == 0, done.stderr
    assert {json.loads(line)["collection"] for line in done.stdout.splitlines()} == set(recorder.workload.collections)
