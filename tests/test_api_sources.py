"""Adding media over HTTP: sources below the allowed folders, uploads, jobs, and repeated writes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import msgspec
import pytest
from PIL import Image
from service_world import World, running

from api import roots
from api.routes.uploads import safe_name
from search.catalog import assets, jobs, queue
from search.catalog.records import FoundFile
from search.errors import AccessError, UsageError
from search.settings import Settings


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    folder = tmp_path / "allowed"
    (folder / "inside").mkdir(parents=True)
    return folder


@pytest.fixture
def settings(settings: Settings, allowed: Path) -> Settings:
    return msgspec.structs.replace(settings, allowed_roots=(allowed,), max_upload_bytes=100_000)


def test_a_folder_below_an_allowed_root_becomes_a_source_and_is_scanned(
    world: World, client: httpx.Client, allowed: Path
) -> None:
    Image.new("RGB", (8, 8)).save(allowed / "inside" / "a.png")
    made = client.post("/v1/sources", json={"root": str(allowed / "inside")})
    assert made.status_code == 201, made.text
    source = made.json()
    assert source["root"] == str((allowed / "inside").resolve())
    deadline = time.monotonic() + 10
    while client.get("/v1/status").json()["assets"]["pending"] != 1:
        assert time.monotonic() < deadline, "the scan found nothing"
        time.sleep(0.05)
    assert client.delete(f"/v1/sources/{source['id']}").status_code == 204
    assert client.get(f"/v1/sources/{source['id']}").status_code == 404
    assert (allowed / "inside" / "a.png").exists()


def test_no_path_leads_out_of_the_allowed_roots(settings: Settings, allowed: Path, tmp_path: Path) -> None:
    (tmp_path / "allowed-not").mkdir()
    (allowed / "link").symlink_to(tmp_path / "allowed-not")
    for outside in ("/etc", str(allowed / ".."), str(allowed / "link"), str(tmp_path / "allowed-not"), "s3://bucket/x"):
        with pytest.raises(AccessError):
            roots.checked(outside, settings)
    for nonsense in ("relative", "", f"{allowed}\0/etc"):
        with pytest.raises(UsageError):
            roots.checked(nonsense, settings)
    with pytest.raises(UsageError):
        roots.checked(str(allowed / "missing"), settings)
    assert roots.checked(str(allowed), settings) == str(allowed.resolve())


def test_a_scan_is_a_job_that_can_be_followed_to_its_end(world: World, client: httpx.Client) -> None:
    world.picture("a.png", "red")
    job = client.post(f"/v1/sources/{world.source.id}/scan").json()
    with client.stream("GET", f"/v1/jobs/{job['id']}/events") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        told = [json.loads(line[6:]) for line in events.iter_lines() if line.startswith("data: ")]
    assert told[-1]["state"] == "done", told[-1]
    assert client.get("/v1/jobs").json()["items"][0]["id"] == job["id"]


def test_a_missing_root_pauses_the_source_and_the_job_says_why(world: World, client: httpx.Client) -> None:
    asset = world.picture("a.png", "red")
    world.media.rename(world.media.with_name("elsewhere"))
    job = client.post(f"/v1/sources/{world.source.id}/scan").json()
    with client.stream("GET", f"/v1/jobs/{job['id']}/events") as events:
        told = [json.loads(line[6:]) for line in events.iter_lines() if line.startswith("data: ")]
    assert told[-1]["state"] == "failed"
    assert "not there" in told[-1]["error"]
    assert client.get(f"/v1/assets/{asset}").json()["status"] == "indexed", "an offline mount deletes nothing"


def test_a_job_can_be_paused_resumed_and_cancelled_but_not_after_its_end(world: World, client: httpx.Client) -> None:
    with world.database.write() as connection:
        job = jobs.create_job(connection, "scan", source_id=world.source.id)
    states = [client.post(f"/v1/jobs/{job.id}/{action}").json()["state"] for action in ("pause", "resume", "cancel")]
    assert states == ["paused", "running", "cancelled"]
    assert client.post(f"/v1/jobs/{job.id}/resume").status_code == 400
    assert client.post(f"/v1/jobs/{job.id}/explode").status_code == 400


def test_while_a_scan_is_paused_nobody_indexes_its_files(world: World, client: httpx.Client) -> None:
    with world.database.write() as connection:
        job = jobs.create_job(connection, "scan", source_id=world.source.id)
        found = FoundFile(path="/x/a.png", path_bytes=b"/x/a.png", size_bytes=1, modified_ns=1)
        assets.sync_assets(connection, world.source.id, [found])

    def claimable() -> int:
        with world.database.write() as connection:
            claimed = queue.claim(connection, "test", 10, 60)
            queue.release(connection, "test", [asset.id for asset in claimed])
        return len(claimed)

    assert claimable() == 1
    for action, expected in (("pause", 0), ("resume", 1), ("cancel", 0)):
        client.post(f"/v1/jobs/{job.id}/{action}")
        assert claimable() == expected, action
    assert client.get("/v1/status").json()["assets"]["pending"] == 1
    with world.database.write() as connection:
        queue.free_source(connection, world.source.id)  # as the next scan does
    assert claimable() == 1


def picture_bytes(tmp_path: Path, shade: int = 200) -> bytes:
    Image.new("RGB", (32, 32), (shade, 0, 0)).save(tmp_path / "upload.png")
    return (tmp_path / "upload.png").read_bytes()


def test_an_upload_is_kept_and_waits_to_be_indexed(world: World, client: httpx.Client, tmp_path: Path) -> None:
    body = picture_bytes(tmp_path)
    made = client.post("/v1/assets", files={"file": ("../../my photo.png", body)})
    assert made.status_code == 201, made.text
    asset = made.json()
    assert asset["known"] is False
    assert asset["status"] == "pending"
    kept = Path(asset["path"])
    assert kept.is_relative_to(world.settings.uploads)
    assert kept.name.endswith("my photo.png")
    assert client.get(f"/v1/assets/{asset['id']}/content").content == body
    assert client.delete(f"/v1/assets/{asset['id']}").status_code == 204
    assert not kept.exists(), "what was uploaded here goes with its asset"


def test_an_upload_that_is_too_large_or_no_media_leaves_nothing_behind(world: World, client: httpx.Client) -> None:
    large = b"\x89PNG\r\n\x1a\n" + b"\0" * 200_000
    answer = client.post("/v1/assets", files={"file": ("large.png", large)})
    assert answer.status_code == 413
    assert "max_upload_bytes" in answer.json()["detail"]
    assert client.post("/v1/assets", files={"file": ("x.mp4", b"#EXTM3U\nhttp://example.org")}).status_code == 415
    assert client.post("/v1/assets", files={"other": ("x.png", b"\x89PNG\r\n\x1a\n")}).status_code == 400
    assert client.post("/v1/assets", content=b"raw", headers={"content-type": "image/png"}).status_code == 415
    cut = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n\x89PNG'
    broken = client.post("/v1/assets", content=cut, headers={"content-type": "multipart/form-data; boundary=b"})
    assert broken.status_code == 400
    assert not list((world.settings.home / "incoming").iterdir())


def test_a_repeated_write_under_its_key_is_done_once(world: World, client: httpx.Client, tmp_path: Path) -> None:
    headers = {"Idempotency-Key": "upload-1"}
    body = picture_bytes(tmp_path)
    first = client.post("/v1/assets", files={"file": ("a.png", body)}, headers=headers)
    again = client.post("/v1/assets", files={"file": ("a.png", body)}, headers=headers)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    other = client.post("/v1/assets", files={"file": ("a.png", picture_bytes(tmp_path, 90))}, headers=headers)
    assert other.status_code == 409


def test_streams_end_when_the_service_stops(world: World) -> None:
    with running(world.service) as client, client.stream("GET", "/v1/events") as events:
        lines = events.iter_lines()
        assert next(lines) == "event: status"
        world.service.stopping.set()
        assert list(lines)[-1] == ""


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.png", "a.png"),
        (".hidden", "hidden"),
        ("a\nb\0c.png", "a_b_c.png"),
        ("", "upload"),
        ("...", "upload"),
        ("été 2024.heic", "été 2024.heic"),
    ],
)
def test_a_senders_name_becomes_a_harmless_one(given: str, kept: str) -> None:
    assert safe_name(given) == kept


def test_a_long_name_keeps_its_suffix() -> None:
    assert len(safe_name("x" * 500 + ".jpeg")) == 120
    assert safe_name("x" * 500 + ".jpeg").endswith(".jpeg")
