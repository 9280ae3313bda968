"""What the lint checks share: the folders with their floors, the C files, and how a finding is printed."""
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]

# docs/architecture.md, "Rooms and floors": a folder includes only from lower floors.
FLOORS = {
    "base": 0,
    "log": 1, "catalog": 1, "store": 1, "net": 1, "webhooks": 1,
    "writer": 2, "access": 2,
    "cdc": 3,
    "snapshot": 4,
    "ingest": 5, "kafka": 5, "query": 5, "subscribe": 5,
    "server": 6,
    "cli": 7,
}
# These look at everything and nothing includes from them.
OUTSIDE = ("tests", "bench", "subprojects")


def files(*patterns):
    """Paths (relative, as str) of the files that git knows or would add."""
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=ROOT,
                         capture_output=True, text=True, check=True).stdout
    return [name for name in out.splitlines() if (ROOT / name).is_file()]


def product_c_files():
    return [f for f in files("*.c", "*.h") if f.split("/")[0] in FLOORS]


def without_comments(text):
    """The text with comments and the insides of string literals blanked; line numbers stay."""
    def blank(match):
        piece = match.group(0)
        if piece.startswith("/"):
            return re.sub(r"[^\n]", " ", piece)
        return piece[0] + " " * (len(piece) - 2) + piece[-1]
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, blank, text, flags=re.S)


class Findings:
    def __init__(self):
        self.count = 0

    def add(self, where, what, mend):
        self.count += 1
        print(f"{where}: {what}\n    mend: {mend}")

    def exit_status(self):
        return 1 if self.count else 0
