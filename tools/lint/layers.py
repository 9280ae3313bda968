"""Folders call only downwards, and only through the headers that the other folder's README lists."""
import re
import sys

from tree import FLOORS, OUTSIDE, ROOT, Findings, files, product_c_files


def public_headers(folder):
    """The `Public:` paragraph of folder/README.md: headers relative to the folder."""
    readme = ROOT / folder / "README.md"
    if not readme.is_file():
        return None
    match = re.search(r"^\W*Public:?\W*?:?(.*?)(?:\n\s*\n|\n#|\Z)", readme.read_text(), flags=re.M | re.S)
    return set(re.findall(r"[\w./-]+\.(?:h|def)\b", match.group(1))) if match else set()


def main():
    found = Findings()
    public = {folder: public_headers(folder) for folder in FLOORS}
    for name in product_c_files():
        folder = name.split("/")[0]
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not match:
                continue
            where, target = f"{name}:{number}", match.group(1)
            top, _, rest = target.partition("/")
            if not rest or not (ROOT / target).is_file():
                found.add(where, f'"{target}" is not a path from the root',
                          f'write #include "{folder}/..." or the full path')
            elif top == folder:
                continue
            elif top in OUTSIDE or top not in FLOORS:
                found.add(where, f"product code includes {top}/", "move what it needs into a room")
            elif FLOORS[top] >= FLOORS[folder]:
                found.add(where, f"{folder}/ (floor {FLOORS[folder]}) includes {top}/ (floor {FLOORS[top]})",
                          "turn the dependency around: pass a callback or a plain value from above")
            elif public[top] is not None and rest not in public[top]:
                found.add(where, f"{target} is private to {top}/",
                          f"use a public header, or list it under `Public:` in {top}/README.md")
    known = {f.split("/")[0] for f in files("*.c")}
    for folder in sorted(known - set(FLOORS) - set(OUTSIDE) - {"tools"}):
        found.add(folder, "a folder without a floor", "give it one in tools/lint/tree.py and docs/architecture.md")
    return found.exit_status()


sys.exit(main())
