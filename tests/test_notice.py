"""Word at the end: a command, or a URL; and the exit status as a gate."""

from __future__ import annotations

import json
import shlex
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from helpers import finish_run

from bench.errors import BenchError
from bench.notice import Notice
from bench.suite import load

Bench = Callable[..., tuple[int, str, str]]


def test_a_command_gets_each_thing_as_one_word(tmp_path: Path) -> None:
    file = tmp_path / "said.json"
    program = "import json, sys; open(sys.argv[1], 'w').write(json.dumps(sys.argv[2:]))"
    command = shlex.join([sys.executable, "-c", program, str(file), "{answer}", "of {suite}", "{page}"])
    answer = 'mix_ent is "better"; $(rm -rf /) {suite}'
    assert Notice(command).give(answer=answer, suite="a.yaml", page="") == ""
    assert json.loads(file.read_text()) == [answer, "of a.yaml", ""]


def test_a_url_gets_json() -> None:
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204 if self.path == "/hook" else 500)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    assert Notice(f"{url}/hook").give(answer="yes", suite="a.yaml", page="p") == ""
    assert got == [{"text": "yes", "answer": "yes", "suite": "a.yaml", "page": "p"}]
    assert "500" in Notice(f"{url}/none").give(answer="yes", suite="a.yaml", page="p")
    server.shutdown()
    server.server_close()
    assert "refused" in Notice(f"{url}/hook").give(answer="yes", suite="a.yaml", page="p")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("", "found nothing"),
        ("nosuchcommand {answer}", "nosuchcommand: there is no such command here"),
        ("http:/hook", "no host, expected a URL"),
        ("https://[::1/hook", "Invalid IPv6 URL"),
        ("say {anser}", "unknown name 'anser'; .* did you mean 'answer'"),
        ("say {", "filled in"),
        ("say {0}", "filled in"),
        ("say 'it", "No closing quotation"),
    ],
)
def test_bad_requests(target: str, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        Notice(target)


def test_what_goes_wrong_is_said(tmp_path: Path) -> None:
    said = {"answer": "", "suite": "", "page": ""}
    assert "InvalidURL" in Notice("http://host:port/").give(**said)
    assert Notice("false").give(**said) == "false ended with exit status 1"
    command = tmp_path / "command"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    notice = Notice(str(command))
    command.unlink()  # while the suite trains
    assert "No such file" in notice.give(**said)


def test_the_end_of_a_run_is_told_and_says_where_to_look(
    bench: Bench, write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    suite = write_suite(seeds=1, losses=["ce", "mae"])
    for run in load(suite).runs():
        finish_run(run, tmp_path / "results", correct=50)
    file = tmp_path / "said"
    command = shlex.join(
        [sys.executable, "-c", f"import sys; open({str(file)!r}, 'w').write(sys.argv[1])", "{answer}"]
    )
    status, _, said = bench("run", suite, "--notify", command)
    assert status == 0
    [*_, answer, places] = said.strip().splitlines()
    assert answer == file.read_text()
    assert f"bench ui {suite}" in places
    assert (tmp_path / "results" / "small" / "report.html").as_posix() in places
    assert bench("report", suite, "--fail-on", "superior")[0] == 0
    status, _, said = bench("report", suite, "--fail-on", "inferior, undecided")
    assert (status, said.strip().splitlines()[-1]) == (1, "--fail-on: 1 verdict of undecided")
    status, _, said = bench("report", suite, "--fail-on", "infer")
    assert status == 2
    assert "unknown verdict 'infer'" in said


def test_what_a_command_prints_is_no_part_of_the_report(capfd: pytest.CaptureFixture[str]) -> None:
    assert Notice("echo {answer}").give(answer="yes", suite="", page="") == ""
    assert capfd.readouterr() == ("", "yes\n")
