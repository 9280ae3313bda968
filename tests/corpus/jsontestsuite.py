"""jsontestsuite.py RUNNER ARCHIVE: unpacks JSONTestSuite's test_parsing files and asks RUNNER about all.

y_ must be accepted, n_ rejected. i_ is left open by the RFC; here it is decided by one rule: accepted when
the bytes are UTF-8 (by Python's strict decoder) without a byte order mark, else rejected. Numbers of any size
and halves of surrogate pairs as escapes are therefore fine, UTF-16 is not. Prints `N passed, M failed`."""
import pathlib
import subprocess
import sys
import tarfile
import tempfile

EXPECTED = {"y": 95, "n": 188, "i": 35}  # files of each kind in the pinned package


def unpack(archive, folder):
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            path = pathlib.PurePosixPath(member.name)
            if member.isfile() and path.parent.name == "test_parsing":
                (folder / path.name).write_bytes(tar.extractfile(member).read())


def is_plain_utf8(data):
    try:
        data.decode("utf-8", "strict")
    except UnicodeDecodeError:
        return False
    return not data.startswith(b"\xef\xbb\xbf")


def wanted(file):
    kind = file.name[0]
    return "accept" if kind == "y" or kind == "i" and is_plain_utf8(file.read_bytes()) else "reject"


def main():
    runner, archive = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="jsontestsuite-") as name:
        folder = pathlib.Path(name)
        unpack(archive, folder)
        files = sorted(folder.iterdir())
        counts = {kind: sum(f.name.startswith(kind + "_") for f in files) for kind in EXPECTED}
        if counts != EXPECTED:
            sys.exit(f"jsontestsuite: the package holds {counts} files, expected {EXPECTED}")
        out = subprocess.run([runner, *map(str, files)], stdout=subprocess.PIPE, check=True).stdout
        answers = [line.split(b" ", 1)[0].decode() for line in out.split(b"\n") if line]
        failed = [(f, a) for f, a in zip(files, answers, strict=True) if a != wanted(f)]
        for file, answer in failed:
            print(f"FAILED {file.name}: {answer}, expected {wanted(file)}")
    print(f"{len(files) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
