"""Counts test results. Every suite leaves one JUnit file in a results folder:

  record FILE NAME STATUS SECONDS      writes FILE for a command that is itself one test
  meson FILE NAME STATUS JUNIT         copies meson's JUnit (one test case per cmocka test)
  summary FOLDER                       lists failures, prints the closing line, exits 1 unless all passed
"""
import os
import sys
import xml.etree.ElementTree as ET


def write_single(path, name, status, seconds, why=""):
    suite = ET.Element("testsuite", name=name)
    case = ET.SubElement(suite, "testcase", classname=name, name=name, time=str(seconds))
    if status != 0:
        ET.SubElement(case, "failure", message=why or f"exit status {status}")
    ET.ElementTree(suite).write(path)


def outcome(case):
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def meson(path, name, junit, status):
    """A crash before the first result, or a suite without tests, must not look like a success."""
    try:
        root = ET.parse(junit).getroot()
    except (OSError, ET.ParseError) as problem:
        write_single(path, name, 1, 0, f"no results: {problem}")
        return
    cases = list(root.iter("testcase"))
    failed = any(outcome(c) == "failed" for c in cases)
    if not cases or (status != 0 and not failed):
        why = f"meson test: exit status {status} with {len(cases)} results"
        case = ET.SubElement(ET.SubElement(root, "testsuite", name=name), "testcase",
                             classname=name, name="run")
        ET.SubElement(case, "failure", message=why)
    ET.ElementTree(root).write(path)


def summary(folder):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for file in sorted(os.listdir(folder)):
        own = {"passed": 0, "failed": 0, "skipped": 0}
        for case in ET.parse(os.path.join(folder, file)).getroot().iter("testcase"):
            result = outcome(case)
            own[result] += 1
            if result != "passed":
                print(f"{result.upper()} {file[:-4]}: {case.get('classname', '')} {case.get('name')}")
        print(f"  {file[:-4]}: {own['passed']} passed, {own['failed']} failed, {own['skipped']} skipped")
        for key in counts:
            counts[key] += own[key]
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 0 if counts["passed"] and not counts["failed"] and not counts["skipped"] else 1


def main(argv):
    if argv[:1] == ["record"]:
        write_single(argv[1], argv[2], int(argv[3]), int(argv[4]))
    elif argv[:1] == ["meson"]:
        meson(argv[1], argv[2], argv[4], int(argv[3]))
    elif argv[:1] == ["summary"]:
        return summary(argv[1])
    else:
        sys.exit(__doc__)
    return 0


sys.exit(main(sys.argv[1:]))
