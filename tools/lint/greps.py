"""House rules that a regular expression can check. Each row: what is banned, where it is allowed, the mend."""
import re
import sys

from tree import ROOT, Findings, product_c_files, without_comments

LOCK_H = (ROOT / "base/lock.h").is_file()

BANS = [
    (r"\b(malloc|calloc|realloc)\s*\(", r"^base/", "xmalloc and its kin (base/base.h), or an arena"),
    (r"\b(strdup|strndup|asprintf|vasprintf)\s*\(", r"^base/", "xstrdup, xstrndup, xasprintf (base/base.h)"),
    (r"\b(atoi|atol|atoll|atof)\s*\(", r"^$", "a parser that reports bad input"),
    (r"\b(sprintf|vsprintf|strcpy|strcat|strncpy|strncat|stpcpy|gets)\s*\(", r"^$",
     "snprintf, struct buf (base/buf.h), or memcpy with a checked length"),
    (r"\b(strtok|localtime|gmtime|ctime|asctime|strerror)\s*\(", r"^base/",
     "the _r form, base/timefmt.h, or err_fail_errno: the plain one is not thread-safe"),
    (r"\b(sleep|usleep|nanosleep|clock_pause_ms)\s*\(", r"^(base/clock\.[ch]$|server/server\.c$|cli/)", "a timer or a condition variable"),
    (r"\b(fsync|fdatasync|sync_file_range|rename|renameat|fallocate|ftruncate|pwritev|pwrite)\s*\(",
     r"^(base/io(_posix|_direct)?|server/lockfile)\.c$", "io_* of base/io.h, so that the simulated disk sees it"),
    (r"\bassert\s*\(", r"^$", "ASSERT of base/base.h, which stays on in release builds"),
    (r"\bexit\s*\(|\b_exit\s*\(|\babort\s*\(", r"^(cli/|base/|server/signals\.c$)", "return an error; only cli/ ends the program"),
    (r"(?<![\w])printf\s*\(|\bputs\s*\(", r"^(cli/|server/server\.c$)", "the logger, or return what is to be printed"),
    (r"\bvolatile\b", r"^catalog/vfs_(priv\.h|share\.c)$", "C11 atomics (SQLite's xShmMap alone has it in its type)"),
    (r"\bgettimeofday\s*\(|\bclock_gettime\s*\(\s*CLOCK_(MONOTONIC|REALTIME)|[^_\w]time\s*\(\s*NULL", r"^(base/(clock|lock)|server/signals)\.c$",
     "base/clock.h, so that tests set the time"),
    (r"\b(rand|srand|random)\s*\(", r"^$", "RAND_bytes where it must not be guessed, else base/hash.h"),
]
if LOCK_H:
    BANS.append((r"\bpthread_(mutex|rwlock)_", r"^base/", "base/lock.h"))


def main():
    found = Findings()
    for name in product_c_files():
        text = (ROOT / name).read_text()
        lines = without_comments(text).splitlines()
        for number, line in enumerate(lines, 1):
            for pattern, allowed, mend in BANS:
                match = re.search(pattern, line)
                if match and not re.search(allowed, name):
                    found.add(f"{name}:{number}", f"`{match.group(0).strip()}` is banned here", mend)
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(r"\b(TODO|FIXME|XXX)\b(?!\(#\d+\))", line):
                found.add(f"{name}:{number}", "a TODO without an issue", "do it, or write TODO(#123)")
            if len(line.expandtabs(8)) > 120:
                found.add(f"{name}:{number}", f"a line of {len(line)} columns", "break it at 100")
    return found.exit_status()


sys.exit(main())
