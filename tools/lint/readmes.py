"""Every room has a README.md of at most 60 lines that lists its public headers and each of its files, says
which threads run it, and how to test it alone."""
import re
import sys

from tree import FLOORS, ROOT, Findings, files

WANTED = [
    (r"^\W*Public:", "no `Public:` line", "list the headers that other folders may include, or `Public: none`"),
    (r"(?i)\bthread", "nothing about threads", "say which thread runs this folder's code"),
    (r"meson test|\./x test", "no way to test only this folder", "give the `meson test -C build --suite ...` line"),
    (r"(?i)may call|calls|may include", "nothing about what it may call", "name the lower folders it uses"),
]


def main():
    found = Findings()
    with_code = {f.split("/")[0] for f in files("*.c", "*.h")}
    for folder in sorted(with_code & set(FLOORS)) + ["tests", "bench"]:
        readme = ROOT / folder / "README.md"
        if not (ROOT / folder).is_dir():
            continue
        if not readme.is_file():
            found.add(f"{folder}/", "no README.md", "write one: docs/architecture.md says what is in it")
            continue
        if folder not in FLOORS:
            continue
        text, where = readme.read_text(), f"{folder}/README.md"
        if len(text.splitlines()) > 60:
            found.add(where, f"{len(text.splitlines())} lines", "at most 60; move detail into file comments")
        for pattern, what, mend in WANTED:
            if not re.search(pattern, text, flags=re.M):
                found.add(where, what, mend)
        for name in files(f"{folder}/*.c", f"{folder}/*.h", f"{folder}/*.def"):
            stem = name.rsplit(".", 1)[0].rsplit("/", 1)[1]
            inner = name.split("/")[1:-1]  # a subfolder of alike files may stand in one line: `wire/<message>.h`
            if not re.search(rf"\b{re.escape(stem)}\b", text) and f"{'/'.join(inner)}/<" not in text:
                found.add(where, f"{name} is not mentioned", "add it to the reading order, with one line")
        for header in re.findall(r"\b([\w/-]+\.h)\b", text):
            if not any((ROOT / base / header).is_file() for base in (folder, ".")) and "/usr" not in header:
                found.add(where, f"{header} does not exist", "name the file that does")
    return found.exit_status()


sys.exit(main())
