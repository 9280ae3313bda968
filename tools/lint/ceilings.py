"""A file has at most 600 lines, a function at most 70. tools/ceilings.txt names exceptions with their
size (`path 640` or `path:function 82`); an exception may only shrink, so a smaller size must be written down."""
import re
import sys

from tree import ROOT, Findings, files, product_c_files

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
EXCEPTIONS = ROOT / "tools/ceilings.txt"


def functions(lines):
    """(name, first line, length) of each function. The house format puts `{` and `}` of a function, and
    of nothing else that follows a `)`, alone in the first column."""
    start = 0
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            head = start - 1
            while head > 1 and lines[head - 2].strip() and not re.match(r"[};/#*]", lines[head - 2]):
                head -= 1
            match = re.search(r"(\w+)\s*\(", "".join(lines[head - 1:start - 1]))
            yield match.group(1) if match else "?", head, number - head + 1
            start = 0


def main():
    found = Findings()
    allowed = {}
    if EXCEPTIONS.is_file():
        for line in EXCEPTIONS.read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                key, size = line.split()
                allowed[key] = int(size)
    sizes = {}
    for name in sorted(set(product_c_files()) | set(files("tests/*.c", "tests/*.h", "bench/*.c", "bench/*.h"))):
        lines = (ROOT / name).read_text().splitlines()
        sizes[name] = (len(lines), FILE_LINES_MAX, name)
        for function, first, length in functions(lines):
            sizes[f"{name}:{function}"] = (length, FUNCTION_LINES_MAX, f"{name}:{first}")
    for key, (size, ceiling, where) in sizes.items():
        if key in allowed:
            if size > allowed[key]:
                found.add(where, f"{key} grew from {allowed[key]} to {size} lines", "split it by step")
            elif size <= ceiling:
                found.add(where, f"{key} fits now ({size} lines)", "delete its line in tools/ceilings.txt")
            elif size < allowed[key]:
                found.add(where, f"{key} shrank to {size} lines", f"write {size} in tools/ceilings.txt")
        elif size > ceiling:
            found.add(where, f"{key} has {size} lines, the ceiling is {ceiling}", "split it by step or by idea")
    for key in allowed.keys() - sizes.keys():
        found.add("tools/ceilings.txt", f"{key} does not exist", "delete its line")
    return found.exit_status()


sys.exit(main())
