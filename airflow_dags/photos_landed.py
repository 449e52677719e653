#!/usr/bin/env python3
"""Tells Airflow that photos have landed: one event of the asset `captioner_photos`, through the REST API.

    AIRFLOW_USER=admin AIRFLOW_PASSWORD=... airflow_dags/photos_landed.py --api http://localhost:8080 photos=120

Call it when a batch of photos and captions is complete. The event starts a retraining run as soon as no other run is active;
all events that arrive during a run start one more run together. Arguments of the form key=value are stored with the event. The
script needs only Python's standard library. For an Airflow with another way to sign in, set AIRFLOW_TOKEN instead of user and
password.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

ASSET = "captioner_photos"
log = logging.getLogger("photos_landed")


def main() -> int:
    logging.basicConfig(format="%(name)s: %(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--api", default="http://localhost:8080", help="address of Airflow's API server")
    parser.add_argument("extra", nargs="*", metavar="key=value", help="stored with the event")
    arguments = parser.parse_args()
    try:
        event = raise_event(arguments.api.rstrip("/"), dict(text.split("=", 1) for text in arguments.extra))
    except urllib.error.HTTPError as error:
        log.error("%s answered %d: %s", error.url, error.code, error.read(500).decode())
        return 1
    except (OSError, LookupError, ValueError) as error:
        log.error("%s; see --help", error)
        return 2
    print(json.dumps(event))
    return 0


def raise_event(api: str, extra: dict[str, str]) -> dict:
    """Creates an event of the asset and returns it as Airflow stored it. Raises LookupError if no DAG names the asset."""
    token = os.environ.get("AIRFLOW_TOKEN") or sign_in(api)
    query = urllib.parse.urlencode({"name_pattern": ASSET})
    assets = request(f"{api}/api/v2/assets?{query}", token=token)["assets"]
    ids = [asset["id"] for asset in assets if asset["name"] == ASSET]
    if not ids:
        raise LookupError(f"no DAG of the Airflow at {api} names the asset {ASSET}; is retrain_captioner there?")
    return request(f"{api}/api/v2/assets/events", {"asset_id": ids[0], "extra": extra}, token)


def sign_in(api: str) -> str:
    try:
        account = {"username": os.environ["AIRFLOW_USER"], "password": os.environ["AIRFLOW_PASSWORD"]}
    except KeyError as error:
        raise LookupError(
            f"{error.args[0]} is not set; set AIRFLOW_USER and AIRFLOW_PASSWORD, or AIRFLOW_TOKEN"
        ) from None
    return request(f"{api}/auth/token", account)["access_token"]


def request(url: str, body: dict | None = None, token: str | None = None) -> dict:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as answer:
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main())
