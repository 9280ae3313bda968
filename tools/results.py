"""Counts test results. Every suite leaves one JUnit file in a results folder:

  record FILE NAME STATUS SECONDS      writes FILE for a command that is itself one test
  meson FILE NAME STATUS JUNIT         copies meson's JUnit (one test case per cmocka test)
  summary FOLDER                       lists failures, prints the closing line, exits 1 unless all passed
"""
import json
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
    broken = []
    with open(junit.replace(".junit.xml", ".json"), encoding="utf-8") as log:
        for test in map(json.loads, log):
            if test["result"] not in ("OK", "FAIL", "SKIP"):
                broken.append(f"{test['name']}: {test['result']}")
    cases = list(root.iter("testcase"))
    if not cases or (status != 0 and not broken and all(outcome(c) == "passed" for c in cases)):
        broken.append(f"meson test: exit status {status} with {len(cases)} results")
    for what in broken:
        case = ET.SubElement(ET.SubElement(root, "testsuite", name=name), "testcase", classname=name, name=what)
        ET.SubElement(case, "failure", message=what)
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
