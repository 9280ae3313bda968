"""PostgreSQL's point-in-time recovery: a base backup of the documents, the changes in archived WAL, one mistake more,
and a recovery that stops before that mistake. The peer of `./x bench restore --postgres`."""

import glob
import hashlib
import os
import pwd
import shutil
import subprocess
import time

from servers import Failed

PROGRAMS = "/usr/lib/postgresql/*/bin"  # Debian's
PER_TRANSACTION = 2000
# Each change as PostgreSQL would get it: a statement of its own, PER_TRANSACTION to a commit.
APPLY = f"""
DO $$
DECLARE c record;
BEGIN
  FOR c IN SELECT * FROM changes ORDER BY n LOOP
    IF c.doc IS NULL THEN
      DELETE FROM docs WHERE id = c.id;
    ELSE
      UPDATE docs SET doc = c.doc WHERE id = c.id;
    END IF;
    IF c.n % {PER_TRANSACTION} = 0 THEN COMMIT; END IF;
  END LOOP;
END $$;
"""


def digest(rows):
    h = hashlib.blake2b()
    for row_id, doc in rows:
        h.update(b"%s\t%s\n" % (row_id, doc))
    return h.hexdigest()


class Postgres:
    """Owns `directory`. Its programs refuse root: then they run as the user postgres."""

    def __init__(self, directory):
        found = glob.glob(PROGRAMS)
        if not found:
            raise Failed("PostgreSQL is missing: ./x bench restore --postgres installs it")
        self.programs = max(found, key=lambda path: float(path.split("/")[4]))
        self.directory = directory
        self.main, self.base, self.archive = (os.path.join(directory, n) for n in ("main", "base", "archive"))
        self.wanted = self.target = None
        self.prefix = []
        for path in (directory, self.archive):
            os.makedirs(path)
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            self.prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
            for path in (directory, self.archive):
                os.chown(path, user.pw_uid, user.pw_gid)

    def line(self, name, *arguments):
        return [*self.prefix, os.path.join(self.programs, name), *arguments]

    def run(self, name, *arguments):
        done = subprocess.run(self.line(name, *arguments), capture_output=True, cwd=self.directory)
        if done.returncode != 0:
            raise Failed(f"{name} ended with status {done.returncode}: {(done.stderr or done.stdout)[-500:]!r}")
        return done.stdout

    def psql(self, text):
        """The arguments that run one statement and print no more than its rows."""
        return ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.directory, "-U", "bench", "-c", text, "postgres"]

    def sql(self, text):
        return self.run("psql", *self.psql(text)).decode().strip()

    def copy_in(self, table, lines):
        """Lines of COPY's text format, streamed."""
        line = self.line("psql", *self.psql(f"COPY {table} FROM STDIN"))
        with subprocess.Popen(line, stdin=subprocess.PIPE, cwd=self.directory) as psql:
            psql.stdin.writelines(lines)
            psql.stdin.close()
        if psql.returncode != 0:
            raise Failed(f"COPY {table} ended with status {psql.returncode}")

    def configure(self, data, *settings):
        with open(os.path.join(data, "postgresql.auto.conf"), "w", encoding="ascii") as f:
            f.write("\n".join(["listen_addresses = ''", f"unix_socket_directories = '{self.directory}'", "shared_buffers = 256MB",
                               "max_wal_size = 64GB", "checkpoint_timeout = 1d", "autovacuum = off", *settings, ""]))

    def start(self, data):
        """Returns when it takes queries. pg_ctl also takes a server for started that recovers and refuses them."""
        self.run("pg_ctl", "-D", data, "-W", "-l", os.path.join(self.directory, "log"), "start")
        deadline = time.monotonic() + 600
        while subprocess.run(self.line("psql", *self.psql("SELECT 1")), capture_output=True, cwd=self.directory).returncode != 0:
            if time.monotonic() > deadline:
                raise Failed("PostgreSQL took no query in 600 s")
            time.sleep(0.02)

    def stop(self, data):
        self.run("pg_ctl", "-D", data, "-w", "-t", "600", "-m", "fast", "stop")

    def prepare(self, documents, changes):
        """The base backup with the documents, the archive with the changes and a mistake behind them."""
        self.run("initdb", "-D", self.main, "-A", "trust", "-U", "bench", "--no-locale", "-E", "UTF8")
        self.configure(self.main, "archive_mode = on", f"archive_command = 'cp %p {self.archive}/%f'")
        self.start(self.main)
        try:
            self.sql("CREATE TABLE docs (id text PRIMARY KEY, doc text NOT NULL)")
            self.copy_in("docs", (b"doc-%08d\t%s\n" % (number, doc.encode()) for number, doc in documents))
            self.run("pg_basebackup", "-h", self.directory, "-U", "bench", "-D", self.base, "-c", "fast")
            self.sql("CREATE UNLOGGED TABLE changes (n int PRIMARY KEY, id text, doc text)")
            self.copy_in("changes", (b"%d\tdoc-%08d\t%s\n" % (n, number, b"\\N" if doc is None else doc.encode())
                                     for n, (number, doc) in enumerate(changes)))
            self.sql(APPLY)
            self.target = self.sql("SELECT pg_current_wal_insert_lsn()")
            self.sql("DELETE FROM docs WHERE id < 'doc-00000100'")
            self.wait_for_archive(self.sql("SELECT pg_walfile_name(pg_switch_wal())"))
        finally:
            self.stop(self.main)
        shutil.rmtree(self.main)

    def wait_for_archive(self, name):
        deadline = time.monotonic() + 600
        while self.sql("SELECT coalesce(max(last_archived_wal), '') FROM pg_stat_archiver") < name:
            if time.monotonic() > deadline:
                raise Failed(f"{name} was not archived in 600 s")
            time.sleep(0.1)

    def expect(self, rows):
        self.wanted = digest(rows)

    def recover(self, check):
        """One recovery, from the start of the server on a copy of the base backup until it takes queries."""
        data = os.path.join(self.directory, "recovered")
        begin = time.perf_counter()
        self.copy_base(data)
        self.configure(data, f"restore_command = 'cp {self.archive}/%f %p'", f"recovery_target_lsn = '{self.target}'",
                       "recovery_target_inclusive = off", "recovery_target_action = promote", "hot_standby = off")
        copied = time.perf_counter()
        self.start(data)
        took = time.perf_counter() - copied
        try:
            if check:
                self.check()
            version = self.sql("SHOW server_version").split()[0]
        finally:
            self.stop(data)
        shutil.rmtree(data)
        return {"bench": "postgres", "version": version, "seconds": round(took, 2), "copy_base_s": round(copied - begin, 2),
                "wal_mb": round(sum(f.stat().st_size for f in os.scandir(self.archive)) / 1e6)}

    def copy_base(self, data):
        for line in (["cp", "-a", self.base, data], ["touch", os.path.join(data, "recovery.signal")], ["sync"]):
            subprocess.run([*self.prefix, *line], check=True)

    def check(self):
        """The recovered rows are those that Spillway restored."""
        text = self.run("psql", *self.psql("COPY (SELECT id, doc FROM docs ORDER BY id) TO STDOUT"))
        if digest(line.split(b"\t") for line in text.splitlines()) != self.wanted:
            raise Failed("PostgreSQL recovered other rows than Spillway restored")

    def remove(self):
        shutil.rmtree(self.directory)
