"""Uploads go on after a break, with a client of tus that was not made for Medley."""

from __future__ import annotations

import base64
import io
import os
import socket
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from support.service_world import World
from support.waiting import until
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

from api.http import resumable
from search.catalog import assets

TUS = {"tus-resumable": "1.0.0"}
PIECES = TUS | {"content-type": "application/offset+octet-stream"}


@pytest.fixture
def photo() -> bytes:
    """A PNG of about 200 kB."""
    noise = np.random.default_rng(7).integers(0, 255, (260, 260, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def tus(client: httpx.Client) -> TusClient:
    return TusClient(f"{client.base_url}/v1/uploads")


def begin(client: httpx.Client, size: int, name: str = "a photo.png") -> str:
    metadata = "filename " + base64.b64encode(name.encode()).decode()
    answer = client.post("/v1/uploads", headers=TUS | {"upload-length": str(size), "upload-metadata": metadata})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def append(client: httpx.Client, url: str, offset: int, body: bytes) -> httpx.Response:
    return client.patch(url, headers=PIECES | {"upload-offset": str(offset)}, content=body)


def kept(world: World, asset_id: str) -> bytes:
    with world.database.read() as connection:
        return Path(assets.get_asset(connection, int(asset_id)).path).read_bytes()


def test_a_file_arrives_in_pieces_and_goes_on_after_a_break(
    world: World, client: httpx.Client, tus: TusClient, photo: bytes
) -> None:
    first = tus.uploader(file_stream=io.BytesIO(photo), chunk_size=50_000, metadata={"filename": "ürlaub.png"})
    first.upload(stop_at=100_000)
    again = tus.uploader(file_stream=io.BytesIO(photo), chunk_size=50_000, url=first.url)
    assert again.offset == 100_000
    again.upload()
    answer = client.head(str(first.url), headers=TUS)
    assert answer.headers["upload-offset"] == str(len(photo))
    asset_id = answer.headers["medley-asset"]
    assert kept(world, asset_id) == photo
    assert client.get(f"/v1/assets/{asset_id}").json()["path"].endswith("ürlaub.png")
    assert append(client, str(first.url), len(photo), b"").status_code == 409


def test_what_arrived_before_the_connection_broke_stays(world: World, client: httpx.Client, photo: bytes) -> None:
    url = begin(client, len(photo))
    head = f"PATCH {url} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
    head += f"Content-Type: application/offset+octet-stream\r\nContent-Length: {len(photo)}\r\n\r\n"
    with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as connection:
        connection.sendall(head.encode() + photo[:70_000])
        until(lambda: client.head(url, headers=TUS).headers["upload-offset"] == "70000")
    until(lambda: append(client, url, 0, b"").status_code == 409)  # the broken request has let go
    assert append(client, url, 70_000, photo[70_000:]).headers["upload-offset"] == str(len(photo))
    assert kept(world, client.head(url, headers=TUS).headers["medley-asset"]) == photo


def test_the_same_file_twice_is_one_asset(world: World, client: httpx.Client, photo: bytes) -> None:
    made = [append(client, begin(client, len(photo)), 0, photo).headers["medley-asset"] for _ in range(2)]
    assert made[0] == made[1]
    whole = client.post("/v1/assets", files={"file": ("a photo.png", photo)}).json()
    assert whole["id"] == made[0]


def test_the_first_bytes_may_come_with_the_beginning(client: httpx.Client, photo: bytes) -> None:
    answer = client.post("/v1/uploads", headers=PIECES | {"upload-length": str(len(photo))}, content=photo)
    assert answer.status_code == 201
    assert answer.headers["upload-offset"] == str(len(photo))
    assert answer.headers["medley-asset"]


def test_two_requests_never_write_one_upload_at_once(client: httpx.Client, photo: bytes) -> None:
    url = begin(client, len(photo))
    inside, go_on = threading.Event(), threading.Event()

    def slowly() -> object:
        yield photo[:1000]
        inside.set()
        go_on.wait(20)
        yield photo[1000:2000]

    first = threading.Thread(
        target=lambda: httpx.patch(
            client.base_url.join(url),
            headers=PIECES | {"upload-offset": "0"},
            content=slowly(),  # type: ignore[arg-type]
        )
    )
    first.start()
    inside.wait(20)
    until(lambda: client.head(url, headers=TUS).headers["upload-offset"] == "1000")
    assert append(client, url, 1000, b"x").status_code == 423
    go_on.set()
    first.join(20)
    assert client.head(url, headers=TUS).headers["upload-offset"] == "2000"


def test_what_is_wrong_is_said(client: httpx.Client, tus: TusClient, photo: bytes) -> None:
    url = begin(client, len(photo))
    assert append(client, url, 5, photo).status_code == 409
    assert append(client, url, 0, photo + b"more").status_code == 413
    assert client.patch(url, headers=TUS | {"upload-offset": "0"}, content=photo).status_code == 415
    assert client.head(url, headers={"tus-resumable": "0.2.2"}).status_code == 412
    assert client.head("/v1/uploads/" + "0" * 32, headers=TUS).status_code == 404
    assert client.head("/v1/uploads/..%2f..", headers=TUS).status_code == 404
    assert client.post("/v1/uploads", headers=TUS).status_code == 400
    big = TUS | {"upload-length": str(10**12)}
    assert "max_upload_bytes" in client.post("/v1/uploads", headers=big).json()["detail"]
    with pytest.raises(TusCommunicationError):
        tus.uploader(file_stream=io.BytesIO(b"no picture at all " * 9000), chunk_size=50_000).upload()


def test_what_is_not_media_is_refused_as_soon_as_it_shows(client: httpx.Client, world: World) -> None:
    url = begin(client, 10**6)
    refused = append(client, url, 0, b"plain words " * 10_000)
    assert refused.status_code == 415
    assert client.head(url, headers=TUS).status_code == 404, "nothing of it stays"


def test_an_upload_can_be_given_up_and_an_old_one_is_swept(world: World, client: httpx.Client, photo: bytes) -> None:
    given_up, old, fresh = (begin(client, len(photo)) for _ in range(3))
    assert client.delete(given_up, headers=TUS).status_code == 204
    assert client.head(given_up, headers=TUS).status_code == 404
    now = time.time()
    folder = world.settings.home / "incoming" / "resumable" / old.rpartition("/")[2]
    os.utime(folder, (now - resumable.EXPIRES_SECONDS - 1,) * 2)
    assert resumable.sweep(world.settings, now) == 1
    assert client.head(old, headers=TUS).status_code == 404
    assert client.head(fresh, headers=TUS).status_code == 200


def test_a_client_is_told_what_is_understood(client: httpx.Client) -> None:
    answer = client.options("/v1/uploads")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert "creation" in answer.headers["tus-extension"]
