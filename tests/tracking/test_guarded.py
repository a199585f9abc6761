"""A server that asks who is there, behind a prefix."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirrored import client_of, make_results, make_suite, mirrored
from servers import free_port, serving

from bench.tracking.answer import Answer
from bench.tracking.links import link_to_runs
from bench.tracking.mirror import Mirror, Synced
from bench.tracking.store import TrackingError

PASSWORD = "hush-hush-hush-hush"


@pytest.fixture
def guarded(tmp_path: Path, empty_store: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("flask_wtf", reason="pip install Flask-WTF")
    place, port = tmp_path / "server", free_port()
    place.mkdir()
    (place / "store.db").write_bytes(empty_store)
    (place / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{place}/auth.db\n"
        f"admin_username = admin\nadmin_password = {PASSWORD}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    monkeypatch.setenv("MLFLOW_AUTH_CONFIG_PATH", str(place / "auth.ini"))
    monkeypatch.setenv("MLFLOW_FLASK_SERVER_SECRET_KEY", "any")
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--static-prefix", "/ml"]
    command += ["--backend-store-uri", f"sqlite:///{place}/store.db", "--host", "127.0.0.1", "--workers", "1"]
    command += ["--artifacts-destination", (place / "files").as_uri(), "--port", str(port)]
    address = f"http://127.0.0.1:{port}/ml"
    with serving(command, address, place):
        yield address


def test_a_server_with_authentication_and_a_prefix(
    results: Path, guarded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = make_suite(losses="ce")
    make_results(results, suite)
    with pytest.raises(TrackingError, match="401") as caught:
        Mirror(suite, results, guarded).sync()
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    mirror = Mirror(suite, results, guarded)
    assert mirror.sync() == Synced(2, 0, 0)
    report = results / "report.html"
    report.write_text("superior")
    mirror.attach_report([report], Answer("Is it mirrored?", "It is."))
    parent, runs = mirrored(guarded)
    assert len(runs) == 2
    assert [file.path for file in client_of(guarded).list_artifacts(parent.info.run_id)] == ["report"]
    assert link_to_runs(suite, results, guarded).startswith(f"{guarded}/#/experiments/1/runs")
    assert mirror.own_page(guarded).startswith(f"{guarded}/#/experiments/1/runs/{parent.info.run_id}")
