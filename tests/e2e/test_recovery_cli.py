"""The commands of recovery: which data directory, store and server they find by themselves."""
import json
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
from conftest import SPILLWAY, clean_environment

STAMP = "2026-02-02T14:30:00Z"


def fill(server, count=3):
    server.ingest(*({"type": "collection.insert", "ts": STAMP, "collection": "users", "docId": f"d{n}", "doc": {"n": n}}
                    for n in range(count)))


def good(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(done):
    return [json.loads(line) for line in good(done).splitlines()]


@pytest.mark.short
def test_what_writes_goes_through_the_server_of_the_data_directory(server, run):
    fill(server)
    data = ("--data", server.data)
    wrong = {"SPILLWAY_SERVER": "http://127.0.0.1:9"}  # the directory's own server counts more

    def snapshot(what, *flags):
        return run("snapshot", what, *data, "--json", "default/users", *flags, env=wrong)

    [made] = rows(snapshot("create"))
    assert made["rowCount"] == 3 and made["type"] == "manual" and made["size"] > 0
    assert rows(snapshot("list")) == [made]
    assert rows(run("snapshot", "list", "--server", f"http://{server.http}", "--json", "default/users")) == [made]
    assert made["name"] in good(run("snapshot", "list", *data, "default/users"))
    path = server.data / "store/default/users/snapshots"
    shutil.copy(path / f"{made['name']}.parquet", path / "2020-01-01.parquet")
    orphan = {"path": "default/users/snapshots/2020-01-01.parquet", "size": made["size"]}
    assert rows(snapshot("cleanup", "--dry-run")) == [orphan]
    assert rows(snapshot("cleanup", "--window-days", "1")) == [orphan]
    assert not (path / "2020-01-01.parquet").exists()
    assert rows(run("compact", *data, "--json", env=wrong)) == [{"collections": 1}]
    assert rows(snapshot("delete", made["name"])) == [{"ok": True}]
    assert snapshot("delete", made["name"]).returncode == 1
    assert rows(snapshot("list")) == []
    asked = ("--server", f"http://{server.http}", "--lsn", "0", "default/users")
    [plan] = rows(run("restore", "--dry-run", "--json", *asked, env={"SPILLWAY_DATA": "/nowhere"}))
    assert plan["dryRun"] and plan["deletes"] == 2
    refused = run("restore", *asked)
    assert refused.returncode == 2 and "--server goes with" in refused.stderr
    restore = run("restore", *data, "--latest", "--in-place", "default/users", env=wrong)
    assert "0 inserts" in good(restore)


def test_the_same_without_a_server(server, run):
    fill(server)
    assert server.post("/flush").status_code == 200
    server.stop()
    data = ("--data", server.data)
    [made] = rows(run("snapshot", "create", *data, "--json", "default/users"))
    assert rows(run("snapshot", "list", *data, "--json", "default/users")) == [made]
    assert rows(run("snapshot", "cleanup", *data, "--json", "default/users")) == []
    assert rows(run("compact", *data, "--json")) == [{"collections": 1}]
    assert f"{made['name']} deleted" in good(run("snapshot", "delete", *data, "default/users", made["name"]))
    assert rows(run("snapshot", "list", *data, "--json", "default/users")) == []
    refused = run("restore", *data, "--latest", "--in-place", "default/users")
    assert refused.returncode == 1 and "no server runs" in refused.stderr
    server.start()
    assert len(server.get("/state/default/users").text.splitlines()) == 3


def test_names_reach_no_terminal_as_control_characters(server, run):
    server.ingest({"type": "collection.insert", "ts": STAMP, "collection": "a\n\x1b[2Jb", "docId": "x", "doc": {}})
    shown = good(run("collections", "--data", server.data))
    assert "default/a\\u000a\\u001b[2Jb" in shown and "\x1b" not in shown
    assert rows(run("collections", "--data", server.data, "--json"))[0]["collection"] == "a\n\x1b[2Jb"


def test_changes_are_counted_by_minute_and_source(server, run):
    for n in range(3):
        server.ingest(*({"type": "collection.update", "ts": f"2026-02-02T14:3{(n + m) % 5}:00Z", "collection": "users",
                         "docId": f"d{m}", "doc": {}, "source": f"s\0{m % 300}"} for m in range(900)))
    counted = {(row["minute"][14:16], row["source"]): row for row in rows(run("changes", "--data", server.data, "--json", "default/users"))}
    assert len(counted) == 900  # 300 sources, each in three of the five minutes
    assert {row["updates"] for row in counted.values()} == {3}
    assert counted["31", "s\0" + "1"]["firstLsn"] == 1


@pytest.mark.short
def test_arguments_of_snapshot(run):
    for arguments, says in [(["delete", "default/users"], "NAME is missing"), (["create", "default/users", "x"], "unexpected"),
                            (["verify", "--server", "http://127.0.0.1:9", "default/users"], "--data or --store"),
                            (["cleanup", "--server", "http://127.0.0.1:9", "--window-days", "x", "default/users"], "window-days"),
                            (["drop", "default/users"], "delete was expected")]:
        done = run("snapshot", *arguments)
        assert done.returncode == 2 and says in done.stderr, done.stderr


@pytest.mark.short
def test_what_is_wrong_is_named(server, run, tmp_path):
    fill(server)
    (tmp_path / "none").write_text("\n\r\n")
    data = ("--data", server.data)
    cases = [
        (2, "2026-02-02T15:30:00+01:00", "restore", "--at", "2026-02-02T14:30:00", "default/users"),
        (2, "lesser first", "restore", "--undo", "2..1", "--in-place", "default/users"),
        (2, "names no document", "restore", "--lsn", "0", "--in-place", "--ids", tmp_path / "none", "default/users"),
        (2, "name of a file", "restore", "--latest", "--to", "", "default/users"),
        (2, "--since lies after", "changes", "--since", "2026-02-03T00:00:00Z", "--until", STAMP, "default/users"),
        (2, "does not go with --store", "restore", "--latest", "--in-place", "--store", "x", "default/users"),
        (2, "does not go with --store", "restore", "--latest", "--dry-run", "--server", "x", "--store", "x", "default/users"),
        (1, "the next change is LSN 3", "changes", "--from", "4", "default/users"),
        (1, "/flush", "restore", "--drill", *data, "default/users"),
    ]
    for status, says, *command in cases:
        done = run(*command, env={"SPILLWAY_DATA": str(server.data), "SPILLWAY_SERVER": f"http://{server.http}"})
        assert done.returncode == status and says in done.stderr, (command, done.stderr)
    assert server.post("/flush").status_code == 200
    for what in ("list", "cleanup"):
        for name in ("default/nothing", "nowhere/users"):
            done = run("snapshot", what, *data, name)
            assert done.returncode == 1 and f'"{"nothing" if "nothing" in name else "nowhere"}"' in done.stderr, done.stderr


def test_a_damaged_list_of_snapshots_hides_no_other_collection(server, run):
    for name in ("users", "orders"):
        server.ingest({"type": "collection.insert", "ts": STAMP, "collection": name, "docId": "a", "doc": {}})
        assert server.post(f"/snapshots/default/{name}", b"{}").ok
    listed = server.data / "store/default/users/snapshots/manifest.json"
    listed.write_bytes(listed.read_bytes()[:-9])
    of_server = {c["name"]: c for c in server.get("/collections/default").json()["collections"]}
    done = run("collections", "--data", server.data, "--json")
    by_command = {c["collection"]: c for c in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1
    for found in (of_server, by_command):
        assert found["orders"]["snapshots"] == 1 and "problem" not in found["orders"]
        assert found["users"]["snapshots"] is None and "snapshots/manifest.json" in found["users"]["problem"]
        assert found["users"]["count"] == 1
    shown = run("collections", "--data", server.data)
    assert shown.returncode == 1 and "snapshots/manifest.json" in shown.stdout


def test_a_manifest_that_is_gone_is_named(server, run):
    fill(server)
    assert server.post("/flush").status_code == 200
    server.stop()
    store = server.data / "store"
    of_all = (store / "default/manifest.json").read_text()
    (store / "default/manifest.json").unlink()
    done = run("restore", "--store", store, "--at", STAMP, "default/users")
    assert done.returncode == 1 and "default/manifest.json" in done.stderr, done.stderr
    assert len(rows(run("restore", "--store", store, "--lsn", "1", "default/users"))) == 2
    (store / "default/manifest.json").write_text(of_all)
    (store / "default/users/manifest.json").unlink()
    done = run("snapshot", "verify", "--store", store, "default/users")
    assert done.returncode == 1 and "default/users/manifest.json is missing" in done.stderr, done.stderr
    done = run("restore", "--store", store, "--drill", "default/users")
    assert done.returncode == 1 and "LSN" not in done.stdout, done.stdout
    assert "default/users/manifest.json is missing" in done.stdout


@pytest.mark.parametrize("form", ["ndjson", "parquet", "sqlite", "namespace"])
def test_a_restore_that_is_interrupted_leaves_nothing(server, tmp_path, form):
    out = tmp_path / "out"
    out.mkdir()
    for batch in range(60):
        server.ingest(*({"type": "collection.insert", "ts": STAMP, "collection": "users", "docId": f"{batch}-{n}",
                         "doc": {"pad": "x" * 400}} for n in range(1000)))
    where = ("default",) if form == "namespace" else ("--format", form, "default/users")
    for _ in range(20):  # it may be done before the signal comes
        restore = subprocess.Popen([SPILLWAY, "restore", "--data", server.data, "--latest", "--to", out / "it", *where],
                                   env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while restore.poll() is None and not list(out.iterdir()):
            time.sleep(0.001)
        restore.send_signal(signal.SIGINT)
        said = restore.communicate(timeout=60)[1]
        if restore.returncode != 0:
            break
        assert said == "" and [path.name for path in out.iterdir()] == ["it"]
        shutil.rmtree(out / "it") if form == "namespace" else (out / "it").unlink()
    assert restore.returncode == 1 and "interrupted" in said, said
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("beside", [True, False])
def test_commands_read_the_settings_of_the_data_directory(make_server, run, tmp_path, beside):
    data, store = tmp_path / "data", tmp_path / "else where"
    data.mkdir()
    settings = data / "spillway.conf" if beside else tmp_path / "settings.ini"
    settings.write_text(f"[store]\nurl = file:{store}\n[pitr]\nwindow_days = 0\n[snapshot]\ndaily_keep = 0\n")
    flags = [] if beside else ["--config", str(settings)]
    server = make_server("--dev", *flags, data=data)
    fill(server)
    assert server.post("/snapshots/default/users").status_code == 201
    server.stop()
    assert list(store.glob("default/users/snapshots/*.parquet")) and not (data / "store").exists()
    given = ["--data", data, *flags, "--json"]
    served = {"SPILLWAY_KAFKA": "0.0.0.0:9092"}  # beyond loopback: what allowed it was a flag of the server's
    assert good(run("collections", *given, env=served))
    assert len(rows(run("snapshot", "list", *given, "default/users"))) == 1
    assert rows(run("collections", *given))[0]["snapshots"] == 1
    [plan] = rows(run("restore", *given, "--latest", "--dry-run", "default/users"))
    assert plan["snapshot"].startswith("snapshots/")
    assert len(good(run("restore", "--data", data, *flags, "--lsn", "2", "default/users")).splitlines()) == 3
    # Nothing but the newest is to be kept, as the settings say: the delta goes.
    removed = [row["path"] for row in rows(run("snapshot", "cleanup", *given, "default/users"))]
    assert [path.split("/")[2] for path in removed] == ["deltas"]
    bad = run("collections", "--data", data, "--config", tmp_path / "none.conf")
    assert bad.returncode == 1 and "none.conf" in bad.stderr


class SlowServer:
    """Takes one restore and answers after a while that is longer than other requests wait."""

    def __init__(self, seconds):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.seconds = seconds
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        client, _ = self.listener.accept()
        with client:
            client.recv(65536)
            threading.Event().wait(self.seconds)
            body = b'{"ok":true,"lsnRange":[4,5],"inserts":2,"updates":0,"deletes":0,"skippedCount":0,"skipped":[]}'
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


@pytest.mark.long
def test_a_restore_in_place_may_take_longer_than_a_minute(run):
    slow = SlowServer(65)
    done = run("restore", "--server", slow.url, "--latest", "--in-place", "default/users", timeout=120)
    assert "written   LSN 4 to 5" in good(done)
