"""What no bundle is: one message each, nothing is overwritten, and nothing is left behind."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import as_asked
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bench as door
from bench.bundles import archive
from bench.bundles.reading import unpacked

Command = Callable[..., tuple[int, str, str]]
Study = Callable[..., tuple[Path, Path]]
Files = dict[str, bytes]


@pytest.fixture
def made(study: Study, tmp_path: Path) -> Path:
    file, results = study()
    return door.bundle(file, results=results, output=tmp_path / "made.zip")


@pytest.fixture
def files(made: Path) -> Files:
    with zipfile.ZipFile(made) as opened:
        return {info.filename: opened.read(info) for info in opened.infolist()}


def write(path: Path, files: Files, *more: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    target = path.with_name("bad.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in [*files.items(), *more]:
            opened.writestr(name, content)
    return target


def refused(path: Path, words: str) -> None:
    """By each verb that reads a bundle, in one line, which names it."""
    before = {one: one.stat().st_mtime_ns for one in path.parent.rglob("*") if one.is_file()}
    for read in (door.report, door.verify, lambda p: door.merge([p], into=path.parent / "joined")):
        with pytest.raises(door.BenchError, match=words) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert {one: one.stat().st_mtime_ns for one in path.parent.rglob("*") if one.is_file()} == before


def info(name: str, kind: int = stat.S_IFREG) -> zipfile.ZipInfo:
    found = zipfile.ZipInfo("placeholder")
    found.filename = name  # its constructor would turn what it does not like
    found.external_attr = (kind | 0o644) << 16
    found.create_system = 3
    return found


# ------------------------------------------------------------------------------------------ the archive

OUTSIDE = "its name leads outside; no bundle holds such a thing"


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("../outside", stat.S_IFREG, OUTSIDE),
        ("results/../../outside", stat.S_IFREG, OUTSIDE),
        ("/etc/outside", stat.S_IFREG, OUTSIDE),
        ("C:outside", stat.S_IFREG, OUTSIDE),
        ("c:/outside", stat.S_IFREG, OUTSIDE),
        ("..\\outside", stat.S_IFREG, OUTSIDE),
        ("results\\outside", stat.S_IFREG, OUTSIDE),
        ("results/./x", stat.S_IFREG, "it is no name for a file"),
        ("results//x", stat.S_IFREG, "it is no name for a file"),
        ("results/\x1b[2Jx", stat.S_IFREG, "it is no name for a file"),
        ("link", stat.S_IFLNK, "it is a link"),
        ("pipe", stat.S_IFIFO, "it is no file"),
        ("extra.txt", stat.S_IFREG, r"it holds, and does not list, extra\.txt"),
        ("suite", stat.S_IFREG, "suite: it is a file and a folder at once"),
    ],
)
def test_what_no_bundle_holds(made: Path, files: Files, name: str, kind: int, words: str) -> None:
    refused(write(made, files, (info(name, kind), b"/etc/passwd")), words)
    assert not (made.parent.parent / "outside").exists()


def test_a_name_that_ends_in_a_zero_byte_is_no_other_name(made: Path, files: Files) -> None:
    bad = write(made, files, (info("README.mdX"), b"other"))
    bad.write_bytes(bad.read_bytes().replace(b"README.mdX", b"README.md\0"))
    refused(bad, "it is no name for a file")


def test_what_is_there_twice(made: Path, files: Files) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        bad = write(made, files, ("README.md", b"another"))
    refused(bad, r"README\.md: it is there twice")


def test_a_part_of_a_bundle(made: Path, tmp_path: Path) -> None:
    content = made.read_bytes()
    bad = tmp_path / "bad.zip"
    for part in (
        b"",
        b"PK",
        content[:5000],
        content[:-30],
        content[:-1],
        content[200:],
        b"not a zip at all" * 9,
    ):
        bad.write_bytes(part)
        refused(bad, "it is no zip, or half of one|it has no bundle|damaged|leads outside")


def test_damage_anywhere_is_named_or_harms_nothing(made: Path, tmp_path: Path) -> None:
    """One byte of the content of a file: its name is said."""
    content = bytearray(made.read_bytes())
    with zipfile.ZipFile(made) as opened:
        [at] = [one.header_offset for one in opened.infolist() if one.filename == "README.md"]
    content[at + 60] ^= 0xFF
    bad = tmp_path / "bad.zip"
    bad.write_bytes(content)
    refused(bad, r"README\.md: it (is damaged|unpacks to more)|README\.md: its content")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_is_a_traceback(made: Path, data: st.DataObject) -> None:
    content = bytearray(made.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    bad = made.with_name("bad.zip")
    bad.write_bytes(content)
    with contextlib.suppress(door.BenchError), unpacked(bad) as found:
        assert found.manifest.suite


def test_more_than_it_says(made: Path, files: Files) -> None:
    """The directory and the list say 40 bytes, and what is there unpacks to a million."""
    manifest = json.loads(files["bundle.json"])
    manifest["files"]["README.md"]["size"] = 40
    whole = {**files, "README.md": b"x" * 10**6, "bundle.json": json.dumps(manifest).encode()}
    bad = write(made, whole)
    content = bad.read_bytes()
    assert content.count(struct.pack("<I", 10**6)) >= 2
    bad.write_bytes(content.replace(struct.pack("<I", 10**6), struct.pack("<I", 40)))
    refused(bad, r"README\.md: it unpacks to more than the 40 bytes that it says")


def test_a_size_that_cannot_be(made: Path, files: Files) -> None:
    bad = write(made, {**files, "README.md": b"x" * 10**5})
    content = bad.read_bytes()
    bad.write_bytes(content.replace(struct.pack("<I", 10**5), struct.pack("<I", 10**9)))
    refused(bad, r"which cannot be")


def test_more_than_there_is_space_for(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = archive.shutil.disk_usage(made.parent)._replace(free=1000)
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda folder: usage)
    refused(made, r"it unpacks to [\d,]+ bytes, and .* has 1,000 left; TMPDIR says")


def test_files_that_overlap(made: Path) -> None:
    """As zip bombs do: many names of the same bytes."""
    content = made.read_bytes()
    with zipfile.ZipFile(made) as opened:
        directory = opened.start_dir
    entry = content[directory : content.index(b"PK\x01\x02", directory + 4)]
    more = b"".join(entry.replace(b"README.md", f"READ{n:05}".encode()) for n in range(900))
    end = content.index(b"PK\x05\x06", directory)
    tail = bytearray(content[end:])
    count = struct.unpack_from("<H", tail, 10)[0] + 900
    size = struct.unpack_from("<I", tail, 12)[0] + len(more)
    struct.pack_into("<HHI", tail, 8, count, count, size)
    bad = made.with_name("bad.zip")
    bad.write_bytes(content[:end] + more + bytes(tail))
    refused(bad, "its files overlap")


def test_one_that_is_encrypted(made: Path) -> None:
    content = bytearray(made.read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 8] |= 1
    bad = made.with_name("bad.zip")
    bad.write_bytes(content)
    refused(bad, "it is encrypted")


def test_one_that_is_compressed_otherwise(made: Path, files: Files) -> None:
    other = info("README.md")
    other.compress_type = zipfile.ZIP_LZMA
    bad = write(
        made, {name: content for name, content in files.items() if name != "README.md"}, (other, b"x")
    )
    refused(bad, "it is compressed in another way")


def test_folders_that_other_programs_write_are_no_harm(made: Path, files: Files) -> None:
    whole = write(made, files, (info("results/", stat.S_IFDIR), b""), (info("suite/", stat.S_IFDIR), b""))
    assert door.verify(whole).same


# ----------------------------------------------------------------------------------------- the manifest


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"format": 2, "bench": "9.9"},
            r"format: found 2, which a newer bench has written \(9\.9; .*update bench",
        ),
        ({"format": 0}, r"format: found 0, expected 1"),
        ({"format": "1"}, r"bundle\.json: format: found '1'"),
        ({"suite": "../x"}, r"bundle\.json: suite: "),
        ({"files": []}, r"bundle\.json: files: "),
        ({"runs": -1}, r"bundle\.json: runs: "),
    ],
)
def test_a_manifest_that_does_not_hold(made: Path, files: Files, change: dict[str, Any], words: str) -> None:
    manifest = json.loads(files["bundle.json"]) | change
    refused(write(made, {**files, "bundle.json": json.dumps(manifest).encode()}), words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", r"bundle\.json: not valid JSON"),
        (b"[]", r"bundle\.json: found|bundle\.json: "),
        (b"[" * 10**5, r"bundle\.json: not valid JSON: it goes too deep"),
        (b"\xff\xfe", r"bundle\.json: not valid JSON"),
    ],
)
def test_a_manifest_that_is_none(made: Path, files: Files, content: bytes, words: str) -> None:
    refused(write(made, {**files, "bundle.json": content}), words)


def test_a_zip_of_something_else(made: Path) -> None:
    refused(write(made, {"hello.txt": b"hello"}), r"it has no bundle\.json, so it is no bundle")
    refused(write(made, {}), r"it has no bundle\.json, so it is no bundle")


def test_a_file_that_is_gone_or_another(made: Path, files: Files) -> None:
    less = {name: content for name, content in files.items() if name != "README.md"}
    refused(write(made, less), r"it lacks README\.md: it is not what was bundled")
    other = files["README.md"][:-1] + b"?"
    refused(write(made, {**files, "README.md": other}), r"README\.md: its content is not what was bundled")
    refused(write(made, {**files, "README.md": b"?"}), r"README\.md: it is said to hold 1 bytes, and bundle")


def test_where_there_is_no_file(made: Path, tmp_path: Path) -> None:
    refused(tmp_path / "nope.zip", "there is no such file")
    (tmp_path / "folder.zip").mkdir()
    refused(tmp_path / "folder.zip", "cannot be read as a bundle: it is no file")
    os.mkfifo(tmp_path / "pipe.zip")
    refused(tmp_path / "pipe.zip", "cannot be read as a bundle: it is no file")


# -------------------------------------------------------------------------------------------- its content


def consistent(made: Path, files: Files) -> Path:
    """With a manifest that agrees with what somebody has made of the files."""
    import hashlib

    manifest = json.loads(files["bundle.json"])
    manifest["files"] = {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
        if name != "bundle.json"
    }
    return write(made, {**files, "bundle.json": json.dumps(manifest).encode()})


def edited(files: Files, name: str, change: Callable[[Any], object]) -> Files:
    content = json.loads(files[name])
    change(content)
    return {**files, name: json.dumps(content).encode()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.pop("cells"), r"resolved\.json: cells: "),
        (lambda c: c["cells"][0].update(text="{}"), r"resolved\.json: cells\.0\.text: found no dataset"),
        (lambda c: c["cells"][0].update(text="["), r"resolved\.json: cells\.0\.text: "),
        (lambda c: c["cells"][0].update(loss="other"), r"is none of its axes'"),
        (
            lambda c: c["losses"][0]["choice"].update(name="/etc:x"),
            r"losses\.0\.choice: name: found '/etc:x'",
        ),
        (lambda c: c["metrics"][0]["choice"].update(name="newer"), r"this bench has no 'newer'"),
        (lambda c: c["asked"].update(seeds="many"), r"resolved\.json: seeds: "),
        (lambda c: c["asked"].update(unheard_of=1), r"unknown key 'unheard_of'"),
        (lambda c: c.update(trainer={"command": {"command": "rm -rf"}}), r"resolved\.json: trainer: "),
    ],
)
def test_a_suite_that_does_not_hold(
    made: Path, files: Files, change: Callable[[Any], object], words: str
) -> None:
    bad = consistent(made, edited(files, "suite/resolved.json", change))
    for read in (door.report, door.verify):
        with pytest.raises(door.BenchError, match=words):
            read(bad)


def test_code_is_never_run_whatever_a_bundle_says(made: Path, files: Files, tmp_path: Path) -> None:
    """Of a metric, too, whose numbers are not there: the name of a module of this machine is no order."""
    (tmp_path / "mine.py").write_text("raise SystemExit('it was run')\n")

    def to_mine(content: Any) -> None:
        content["metrics"][1] = {"label": "mine", "choice": {"name": "os:getcwd", "source": "0" * 16}}

    bad = consistent(made, edited(files, "suite/resolved.json", to_mine))
    report = door.report(bad)
    assert "mine: not known of" in report.json()
    assert not door.verify(bad).same


def test_without_parts_that_every_bundle_has(made: Path, files: Files) -> None:
    def without(name: str) -> Path:
        return consistent(made, {key: value for key, value in files.items() if key != name})

    with pytest.raises(door.BenchError, match=r"it has no suite/resolved\.json"):
        door.report(without("suite/resolved.json"))
    [found] = door.verify(without("results/study/cells.csv")).differences
    assert (found.file, found.where) == ("results/study/cells.csv", "the file")
    with pytest.raises(door.BenchError, match=r"environment\.json: "):
        door.verify(without("environment.json"))


def test_arrays_that_would_unpack_to_too_much_are_not_looked_at(made: Path, files: Files) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("matrix.npy", bytes(10**7))
    bad = consistent(made, {**files, "results/study/agreement.npz": content.getvalue()})
    assert [one.where for one in door.verify(bad).differences] == ["its arrays"]


# ---------------------------------------------------------------------------------------------- writing


def test_nothing_is_overwritten(study: Study, tmp_path: Path) -> None:
    file, results = study()
    for taken in (tmp_path / "taken.zip", tmp_path / "link.zip"):
        if taken.stem == "link":
            taken.symlink_to(tmp_path / "nowhere")
        else:
            taken.write_text("mine")
        with pytest.raises(door.BenchError, match=rf"{taken}: it exists, and nothing is overwritten"):
            door.bundle(file, results=results, output=taken)
    assert (tmp_path / "taken.zip").read_text() == "mine"
    with pytest.raises(door.BenchError, match="there is no folder"):
        door.bundle(file, results=results, output=tmp_path / "no" / "made.zip")


def test_one_that_cannot_be_written_leaves_nothing(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, results = study()
    folder = tmp_path / "full"
    folder.mkdir()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive.os, "fsync", full)
    with pytest.raises(door.BenchError, match="No space left on device"):
        door.bundle(file, results=results, output=folder / "made.zip")
    assert [*folder.iterdir()] == []


def test_a_suite_without_finished_runs(study: Study, tmp_path: Path) -> None:
    file, _ = study()
    with pytest.raises(door.BenchError, match="no run of 'study' has finished: there is nothing to bundle"):
        door.bundle(file, results=tmp_path / "empty", output=tmp_path / "made.zip")


@pytest.mark.parametrize("name", ["", "metrics.jsonl"])
def test_links_in_run_folders_are_not_followed(study: Study, tmp_path: Path, name: str) -> None:
    file, results = study()
    path = results / "runs" / as_asked(file, results).runs()[0].id / name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(door.BenchError, match=rf"{re.escape(str(path))}: it is a link"):
        door.bundle(file, results=results, output=tmp_path / "made.zip")
    assert not (tmp_path / "made.zip").exists()


def test_what_else_lies_in_a_run_folder_stays_there(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, results = study()
    (results / "runs" / as_asked(file, results).runs()[0].id / "notes.txt").write_text("mine alone")
    made = door.bundle(file, results=results, output=tmp_path / "made.zip")
    assert "notes.txt: no file of bench's; it is not in the bundle" in capsys.readouterr().err
    with zipfile.ZipFile(made) as opened:
        assert not any("notes" in name for name in opened.namelist())


def test_wrong_requests(study: Study, made: Path, bench: Command, tmp_path: Path) -> None:
    file = made.parent / "study.yaml"
    for arguments, words in (
        (("bundle", file, "--verify"), "it is no bundle: --verify takes"),
        (("bundle", made), "it is a bundle already"),
        (("bundle", file, "--json"), "--json prints what --verify finds"),
        (("bundle", made, "--verify", "--weights"), "--verify writes nothing"),
        (("report", made, "--seeds", "3"), "leave out --seeds"),
        (("report", made, "--watch"), "leave out --watch"),
        (("report", made, file), "leave out --OTHER|leave out OTHER"),
        (("bundle", "nope.yaml"), "nope.yaml: there is no such file"),
        (("bundle", "nope.zip", "--verify"), "nope.zip: there is no such file"),
    ):
        status, printed, said = bench(*arguments)
        assert (status, printed) == (2, ""), arguments
        assert re.search(words, said), said
        assert said.count("\n") == 1
