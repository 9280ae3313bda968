"""The documentation tells the truth: its commands are run, its lists compared with the program."""
import re
import subprocess

import pytest
from conftest import ROOT, SPILLWAY, clean_environment


def code_blocks(markdown):
    """The indented blocks of a Markdown text."""
    return [re.sub(r"^    ", "", block, flags=re.M).strip("\n")
            for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", markdown, flags=re.M)]


@pytest.mark.short
def test_the_readmes_commands_work_as_printed(make_server):
    server = make_server("--dev", env={"GITHUB_WEBHOOK_SECRET": "development"})
    section = (ROOT / "README.md").read_text().split("## See it work")[1].split("\n## ")[0]
    outputs = []
    for block in code_blocks(section):
        if not block.startswith(("curl", "body=", "kcat")):
            continue
        block = block.replace("127.0.0.1:8080", server.http).replace("127.0.0.1:9092", server.kafka)
        done = subprocess.run(["bash", "-c", block], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    post, webhook, consumed = outputs
    assert '"ok":true' in post and '"lsn":0' in post
    assert '"success":true' in webhook and '"lsn":1' in webhook
    assert consumed.count("\n") == 2 and '"amount":42' in consumed and '"payload":{"action":"opened"' in consumed


def matches(printed, pattern):
    """Whether a command printed what the documentation says; … there stands for anything."""
    return re.fullmatch(re.escape(pattern).replace("…", ".*"), printed.strip())


@pytest.mark.short
def test_the_readmes_second_minute_works_as_printed(make_server):
    server = make_server("--dev")
    server.ingest({"type": "order.paid", "ts": "2026-11-20T12:00:00Z"}, {"type": "order.paid", "ts": "2026-11-20T12:00:00Z"})
    section = (ROOT / "README.md").read_text().split("## Go back")[1].split("\n## ")[0]
    env = {**clean_environment(), "SPILLWAY_DATA": str(server.data), "SPILLWAY_SERVER": f"http://{server.http}"}
    printed, checked = None, 0
    for block in code_blocks(section):
        if not block.startswith(("curl", "build/spillway")):
            assert matches(printed, block), (block, printed)
            checked += 1
            continue
        block = block.replace("127.0.0.1:8080", server.http).replace("build/spillway", str(SPILLWAY))
        done = subprocess.run(["bash", "-c", block], capture_output=True, text=True, timeout=60, check=False, env=env)
        assert done.returncode == 0, done.stderr
        printed = done.stdout
    assert checked == 4


@pytest.mark.short
def test_the_manual_page_knows_every_command_and_option(run):
    manual = (ROOT / "docs/spillway.1").read_text().replace("Fl -", "--").replace("\\-", "-")
    commands = re.search(r"Commands:\n(.*?)\n\n", run("--help").stdout, flags=re.S).group(1)
    for command in re.findall(r"^  (\w+)", commands, flags=re.M):
        assert re.search(rf"^\.Cm {command}\b", manual, flags=re.M), command
        for option in re.findall(r"(--[a-z-]+)", run(command, "--help").stdout):
            assert option in manual, f"{command} {option}"


@pytest.mark.short
def test_the_list_of_settings_is_the_programs(run):
    shown = run("serve", "--print-config", "--markdown")
    assert shown.returncode == 0, shown.stderr
    assert (ROOT / "docs/config.md").read_text() == shown.stdout, \
        "mend: build/spillway serve --print-config --markdown >docs/config.md"
