"""The landing script against a server that answers as Airflow 3.3's API was seen to answer."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from conftest import ROOT

SCRIPT = ROOT / "airflow_dags" / "photos_landed.py"


class Api(BaseHTTPRequestHandler):
    assets = ("captioner_photos_old", "captioner_photos")

    def answer(self, code: int, body: dict) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def do_GET(self):
        assert self.path == "/api/v2/assets?name_pattern=captioner_photos"
        self.answer(200, {"assets": [{"id": number, "name": name} for number, name in enumerate(self.assets, 7)]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/auth/token":
            known = body == {"username": "admin", "password": "secret"}
            self.answer(*(201, {"access_token": "a-token"}) if known else (401, {"detail": "Invalid credentials"}))
        elif self.headers["Authorization"] != "Bearer a-token":
            self.answer(401, {"detail": "Not authenticated"})
        else:
            self.server.events.append((self.path, body))
            self.answer(200, {"id": 1, **body})

    def log_message(self, *_):
        pass


@pytest.fixture
def api():
    server = HTTPServer(("localhost", 0), Api)
    server.events = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def landed(api, *arguments: str, **account: str) -> subprocess.CompletedProcess:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
    command = [sys.executable, SCRIPT, "--api", f"http://localhost:{api.server_port}/", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**environment, **account}, timeout=60)


def test_an_event_of_the_asset_is_raised(api):
    done = landed(api, "photos=120", AIRFLOW_USER="admin", AIRFLOW_PASSWORD="secret")
    assert done.returncode == 0, done.stderr
    assert api.events == [("/api/v2/assets/events", {"asset_id": 8, "extra": {"photos": "120"}})]
    assert json.loads(done.stdout)["asset_id"] == 8
    assert landed(api, AIRFLOW_TOKEN="a-token").returncode == 0


def test_what_is_missing_or_refused_is_named(api, monkeypatch):
    refused = landed(api, AIRFLOW_USER="admin", AIRFLOW_PASSWORD="wrong")
    assert (refused.returncode, "Invalid credentials" in refused.stderr) == (1, True)
    nobody = landed(api)
    assert (nobody.returncode, "AIRFLOW_USER is not set" in nobody.stderr) == (2, True)
    monkeypatch.setattr(Api, "assets", ())
    unknown = landed(api, AIRFLOW_TOKEN="a-token")
    assert (unknown.returncode, "is retrain_captioner there?" in unknown.stderr) == (2, True)
    assert api.events == []
