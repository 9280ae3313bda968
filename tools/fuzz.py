"""fuzz.py BUILD_DIR SECONDS [TARGET…]: runs the libFuzzer targets, as many at once as there are cores, then
replays what they found and prints the line coverage of the files that each target names (`Covers:`).
Exits 1 on a finding; the input that shows it stays in BUILD_DIR/findings/."""
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = ROOT / "tests/fuzz"


def covers(target):
    text = (SOURCES / f"{target}_fuzz.c").read_text()
    match = re.search(r"Covers:(.*?)(?:\.\s|\n \*\n|\*/)", text, flags=re.S)
    return re.findall(r"[\w/]+\.[ch]\b", match.group(1)) if match else []


def run(build, target, seconds):
    """Fuzzes one target; returns (ok, last lines of its output)."""
    exe = build / "tests/fuzz" / f"{target}_fuzz"
    corpus, findings = build / "corpus" / target, build / "findings" / target
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    seeds = SOURCES / "corpus" / target
    inputs = [str(corpus)] + ([str(seeds)] if seeds.is_dir() else [])
    common = [str(exe), f"-artifact_prefix={findings}/", "-rss_limit_mb=2048", "-timeout=10", "-max_len=65536"]
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
           "LLVM_PROFILE_FILE": os.devnull}
    fuzz = subprocess.run([*common, f"-max_total_time={seconds}", "-print_final_stats=1", *inputs],
                          env=env, capture_output=True, text=True, errors="replace", check=False)
    if fuzz.returncode == 0:
        env["LLVM_PROFILE_FILE"] = str(build / f"{target}.profraw")
        fuzz_replay = subprocess.run([*common, "-runs=0", *inputs], env=env, capture_output=True, text=True,
                                     errors="replace", check=False)
        if fuzz_replay.returncode != 0:
            return False, fuzz_replay.stderr[-4000:]
    return fuzz.returncode == 0, fuzz.stderr[-4000:]


def tool(name):
    """llvm-cov of the clang in use (Debian names it by version)."""
    version = subprocess.run(["clang", "-dumpversion"], capture_output=True, text=True, check=True).stdout
    versioned = f"{name}-{version.split('.')[0]}"
    return versioned if any(os.access(f"{d}/{versioned}", os.X_OK) for d in os.environ["PATH"].split(":")) else name


def coverage(build, target):
    """Lines `file covered/all percent` for the files that the target names."""
    profile = build / f"{target}.profdata"
    subprocess.run([tool("llvm-profdata"), "merge", "-sparse", str(build / f"{target}.profraw"), "-o", str(profile)], check=True)
    out = subprocess.run([tool("llvm-cov"), "export", "-summary-only", f"-instr-profile={profile}",
                          str(build / "tests/fuzz" / f"{target}_fuzz")], capture_output=True, text=True, check=True)
    lines = []
    for entry in json.loads(out.stdout)["data"][0]["files"]:
        name = os.path.relpath(os.path.join(build, entry["filename"]), ROOT)
        if name in covers(target):
            count = entry["summary"]["lines"]
            lines.append(f"    {name:32} {count['covered']:5}/{count['count']:<5} lines {count['percent']:5.1f} %")
    return lines


def main(argv):
    build, seconds, wanted = pathlib.Path(argv[0]).resolve(), argv[1], argv[2:]
    targets = sorted(p.name[:-7] for p in SOURCES.glob("*_fuzz.c"))
    unknown = set(wanted) - set(targets)
    if unknown or not targets:
        sys.exit(f"no such fuzz target: {', '.join(unknown)}; there are: {', '.join(targets)}")
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {t: pool.submit(run, build, t, seconds) for t in wanted or targets}
        for target, job in jobs.items():
            good, output = job.result()
            runs = re.search(r"number_of_executed_units:\s*(\d+)", output)
            print(f"{target}: {'no finding' if good else 'FINDING'}, {runs.group(1) if runs else '?'} runs in {seconds} s")
            if good:
                print("\n".join(coverage(build, target)), flush=True)
            else:
                failed += 1
                print(output, flush=True)
    print(f"{len(jobs) - failed} fuzz targets without a finding, {failed} with one")
    return 1 if failed else 0


sys.exit(main(sys.argv[1:]))
