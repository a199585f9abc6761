"""Word at the end of a suite: a command of one's own, or a URL that takes JSON."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from urllib.parse import urlsplit

from bench.errors import BenchError, unknown

SECONDS = 30.0
"""That whoever is told may take."""


class Notice:
    """Where to tell of the end.

    Args:
        target: a command in which ``{answer}``, ``{suite}`` and ``{page}`` are filled in, without a shell; or
            an http(s) URL, which gets them as JSON with the answer as ``text``, as chats take it.

    Raises:
        BenchError: it is neither.
    """

    NAMES = ("answer", "suite", "page")

    def __init__(self, target: str) -> None:
        try:
            address = urlsplit(target)
            self.url = target if address.scheme in ("http", "https") else ""
            self.words = [] if self.url else shlex.split(target)
        except ValueError as error:
            raise BenchError(f"--notify: {target}: {error}") from None
        if not self.url and not self.words:
            raise BenchError("--notify: found nothing, expected a command or a URL")
        if self.url and not address.hostname:
            raise BenchError(f"--notify: {target}: no host, expected a URL such as https://host/path")
        for word in self.words:
            self._fill(word, dict.fromkeys(self.NAMES, ""))
        if self.words and shutil.which(self.words[0]) is None:
            raise BenchError(f"--notify: {self.words[0]}: there is no such command here")

    def _fill(self, word: str, said: Mapping[str, str]) -> str:
        try:
            return word.format_map(said)
        except KeyError as error:
            raise BenchError(f"--notify: {unknown('name', str(error.args[0]), self.NAMES)}") from None
        except (ValueError, IndexError, AttributeError) as error:
            raise BenchError(
                f"--notify: {word}: {error}; {{answer}}, {{suite}} and {{page}} are filled in, and a brace "
                "itself is written twice"
            ) from None

    def give(self, **said: str) -> str:
        """Tell; returns what went wrong, empty if nothing did."""
        try:
            if self.url:
                content = json.dumps({"text": said["answer"], **said}).encode()
                asked = urllib.request.Request(self.url, content, {"Content-Type": "application/json"})
                urllib.request.urlopen(asked, timeout=SECONDS).close()
                return ""
            words = [self._fill(word, said) for word in self.words]
            # What it prints goes to standard error: on the other is the report, perhaps as JSON.
            ended = subprocess.run(words, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL, stdout=2)
            return "" if ended.returncode == 0 else f"{words[0]} ended with exit status {ended.returncode}"
        except subprocess.TimeoutExpired:
            return f"{self.words[0]} took longer than {SECONDS:g} s"
        except (OSError, HTTPException, ValueError) as error:
            return " ".join(f"{type(error).__name__}: {error}".split())
