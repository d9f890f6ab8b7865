"""Stores over HTTP: which may be added, how their files are served, and buckets' notices."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from PIL import Image
from support import media
from support.pictures import save_coloured
from support.service_world import World
from support.stores import SECRET, Bucket, s3_bucket
from support.waiting import until

from api.http import allowed_roots
from api.http.auth import LOOPBACK
from search.errors import AccessError, SettingsError, UsageError
from search.settings import Settings
from search.signals import Signal


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    with s3_bucket() as made:
        yield made


@pytest.fixture
def settings(settings: Settings, bucket: Bucket) -> Settings:
    bucket.profile(settings.home)
    return msgspec.structs.replace(
        settings, allowed_stores=("s3://photos/allowed/", "https://media.example.org"), upload_store="s3://photos/up"
    )


@pytest.fixture
def source(client: httpx.Client) -> dict[str, Any]:
    made = client.post("/v1/sources", json={"root": "s3://photos/allowed/a"})
    assert made.status_code == 201, made.text
    address = f"/v1/sources/{made.json()['id']}"
    until(lambda: client.get(address).json()["scanned_at"])
    return dict(made.json())


def contents(tmp_path: Path, shade: int = 1) -> bytes:
    path = tmp_path / "a.jpg"
    save_coloured(path, shade)
    return path.read_bytes()


def test_only_stores_that_the_setting_names_may_be_added_over_http(settings: Settings, tmp_path: Path) -> None:
    assert allowed_roots.checked("s3://photos/allowed/2024/", LOOPBACK, settings) == "s3://photos/allowed/2024"
    assert allowed_roots.checked("https://media.example.org/x", LOOPBACK, settings) == "https://media.example.org/x"
    inside = "zip::s3://photos/allowed/a.zip"
    assert allowed_roots.checked(inside, LOOPBACK, settings) == inside
    for other in (
        "s3://photos/allowed-not",
        "s3://photos",
        "s3://other/allowed",
        "http://media.example.org/x",
        "https://media.example.org.evil.example/x",
        "https://media.example.org:8443/x",
        "https://169.254.169.254/latest/meta-data",
        "sftp://media.example.org/x",
        "zip::https://evil.example/a.zip",
        "memory://x",
    ):
        with pytest.raises(AccessError):
            allowed_roots.checked(other, LOOPBACK, settings)
    for nonsense in (
        "https://ann:secret@media.example.org/x",
        "https://media.example.org/x?token=abc",
        "https://media.example.org/x/../../y",
        "file:///etc",
        "simplecache::https://media.example.org/x",
        "zip::zip::https://media.example.org/x",
    ):
        with pytest.raises(UsageError) as told:
            allowed_roots.checked(nonsense, LOOPBACK, settings)
        assert "secret" not in str(told.value)
        assert "abc" not in str(told.value)
    nothing = msgspec.structs.replace(settings, allowed_stores=())
    with pytest.raises(AccessError, match="allowed_stores"):
        allowed_roots.checked("s3://photos/allowed", LOOPBACK, nothing)
    wide = msgspec.structs.replace(settings, allowed_stores=("https://",))
    with pytest.raises(SettingsError, match="allowed_stores"):
        allowed_roots.checked("https://127.0.0.1/x", LOOPBACK, wide)


def test_an_archive_on_this_machine_must_lie_below_an_allowed_folder(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.zip").write_bytes(b"PK")
    (tmp_path / "a.zip").write_bytes(b"PK")
    narrow = msgspec.structs.replace(settings, allowed_roots=(tmp_path / "in",))
    assert allowed_roots.checked(f"zip::{tmp_path}/in/a.zip", LOOPBACK, narrow).endswith("/in/a.zip")
    for outside in (f"zip::{tmp_path}/a.zip", f"zip::{tmp_path}/in/../a.zip", "zip:///etc/passwd"):
        with pytest.raises(AccessError):
            allowed_roots.checked(outside, LOOPBACK, narrow)


def test_a_profile_is_used_only_where_it_says_that_it_is_for(client: httpx.Client, world: World) -> None:
    for named in ("other", "test"):
        made = client.post("/v1/sources", json={"root": "https://media.example.org/x", "profile": named})
        assert made.status_code == 400, "its credentials would go to another host"
    made = client.post("/v1/sources", json={"root": "s3://photos/allowed", "profile": "test"})
    assert made.status_code == 201
    assert made.json()["profile"] == "test"
    assert SECRET not in made.text


def test_originals_come_with_ranges_straight_from_the_bucket(
    client: httpx.Client, world: World, bucket: Bucket, source: dict[str, Any], tmp_path: Path
) -> None:
    whole = contents(tmp_path)
    bucket.put("allowed/a/b.jpg", whole)
    notice = {"Records": [{"s3": {"bucket": {"name": "photos"}, "object": {"key": "allowed/a/b.jpg"}}}]}
    client.post(f"/v1/sources/{source['id']}/events", json=notice)
    (asset,) = client.get("/v1/assets").json()["items"]
    assert asset["path"] == "s3://photos/allowed/a/b.jpg"
    address = f"/v1/assets/{asset['id']}/content"
    answer = client.get(address)
    assert answer.content == whole
    part = client.get(address, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole)}"
    assert client.get(address, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert client.head(address).headers["content-length"] == str(len(whole))
    thumbnail = client.get(f"/v1/assets/{asset['id']}/thumbnail")
    assert thumbnail.status_code in (200, 404)  # not looked at yet
    bucket.put("allowed/a/b.jpg", contents(tmp_path, 2))
    changed = client.get(address, headers={"Range": "bytes=10-19", "If-Range": answer.headers["etag"]})
    assert changed.status_code == 200, "a part of what is another file by now would be of no use"
    bucket.delete("allowed/a/b.jpg")
    assert client.get(address).status_code == 404


def test_a_bucket_s_notices_may_come_twice_late_and_in_any_order(
    client: httpx.Client, world: World, bucket: Bucket, source: dict[str, Any], tmp_path: Path
) -> None:
    key = "allowed/a/ä + %.jpg"
    quoted = "allowed/a/%C3%A4+%2B+%25.jpg"
    address = f"/v1/sources/{source['id']}/events"
    record = {"eventName": "s3:ObjectCreated:Put", "s3": {"bucket": {"name": "photos"}, "object": {"key": quoted}}}
    elsewhere = {"s3": {"bucket": {"name": "photos"}, "object": {"key": "other/b.jpg"}}}
    bucket.put(key, contents(tmp_path))
    bucket.put("other/b.jpg", contents(tmp_path))
    told = client.post(address, json={"Records": [record, elsewhere, record]})
    assert told.status_code == 202, told.text
    assert told.json() == {"looked_at": 1, "added": 1, "changed": 0, "missing": 0}
    assert client.post(address, json={"Records": [record]}).json()["added"] == 0
    bucket.delete(key)
    # The notice that it was made comes once more, after it has gone.
    assert client.post(address, json={"Records": [record]}).json()["missing"] == 1
    bucket.put(key, contents(tmp_path, 2))
    enveloped = {"Type": "Notification", "Message": json.dumps({"Records": [record]})}
    assert client.post(address, json=enveloped).json()["added"] + client.get("/v1/status").json()["assets"]["pending"]
    bridge = {"source": "aws.s3", "detail": {"bucket": {"name": "photos"}, "object": {"key": key}}}
    assert client.post(address, json=bridge).json()["looked_at"] == 1
    for nonsense in ({"Records": "x"}, {"Type": "SubscriptionConfirmation", "SubscribeURL": "http://169.254.169.254"}):
        assert client.post(address, json=nonsense).status_code == 400
    assert client.post(address, content=b"\xff\xfe").status_code == 400


def test_an_unreachable_store_is_said_plainly_and_changes_nothing(
    client: httpx.Client, world: World, bucket: Bucket, source: dict[str, Any], tmp_path: Path, settings: Settings
) -> None:
    bucket.put("allowed/a/b.jpg", contents(tmp_path))
    notice = {"Records": [{"s3": {"bucket": {"name": "photos"}, "object": {"key": "allowed/a/b.jpg"}}}]}
    client.post(f"/v1/sources/{source['id']}/events", json=notice)
    (asset,) = client.get("/v1/assets").json()["items"]
    bucket.stop()
    answer = client.get(f"/v1/assets/{asset['id']}/content")
    assert answer.status_code == 503
    assert answer.json()["type"].endswith(":store")
    assert "does not answer" in answer.json()["detail"]
    assert client.post(f"/v1/sources/{source['id']}/events", json=notice).status_code == 503
    assert client.get("/v1/status").json()["assets"]["missing"] == 0
    bucket.start()


def test_uploads_lie_in_the_store_and_are_removed_from_it(
    client: httpx.Client, world: World, bucket: Bucket, tmp_path: Path
) -> None:
    whole = contents(tmp_path)
    made = client.post("/v1/assets", files={"file": ("sea.jpg", whole, "image/jpeg")})
    assert made.status_code == 201, made.text
    path = made.json()["path"]
    assert path.startswith("s3://photos/up/")
    assert path.endswith("-sea.jpg")
    key = path.removeprefix("s3://photos/")
    assert bucket.client.get_object(Bucket="photos", Key=key)["Body"].read() == whole
    asset = made.json()["id"]
    assert client.get(f"/v1/assets/{asset}/content").content == whole
    assert not list(world.settings.uploads.rglob("*sea.jpg"))
    assert client.delete(f"/v1/assets/{asset}").status_code == 204
    assert "Contents" not in bucket.client.list_objects_v2(Bucket="photos", Prefix="up/")


def test_previews_of_a_stored_film_are_made_from_parts_of_it(
    client: httpx.Client, world: World, bucket: Bucket, source: dict[str, Any], tmp_path: Path
) -> None:
    film = media.colour_clip(tmp_path / "film.mp4", ["red", "blue"], 3.0)
    bucket.put("allowed/a/film.mp4", film.read_bytes())
    record = {"s3": {"bucket": {"name": "photos"}, "object": {"key": "allowed/a/film.mp4"}}}
    client.post(f"/v1/sources/{source['id']}/events", json={"Records": [record]})
    ids = world.finish_pending("video", [(Signal.FRAME, "blue", 3.0, 6.0)])
    (segment,) = client.get(f"/v1/assets/{ids[0]}/segments").json()["items"]
    clip = client.get(f"/v1/segments/{segment['id']}/preview")
    assert clip.status_code == 200, clip.text
    assert clip.content[4:8] == b"ftyp"
    thumbnail = client.get(f"/v1/segments/{segment['id']}/thumbnail")
    with Image.open(io.BytesIO(thumbnail.content)) as picture:
        red, _, blue = picture.convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
    assert blue > red
    assert not list(world.settings.scratch.rglob("film.mp4")), "no copy was made"
    bucket.stop()
    assert client.get(f"/v1/segments/{segment['id']}/thumbnail").status_code == 200, "what was made before is shown"
    bucket.start()


def test_a_source_in_a_store_is_scanned_as_a_job(client: httpx.Client, bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("allowed/b/c.jpg", contents(tmp_path))
    made = client.post("/v1/sources", json={"root": "s3://photos/allowed/b"}).json()
    until(lambda: client.get(f"/v1/sources/{made['id']}").json()["scanned_at"])
    assert client.get("/v1/status").json()["assets"]["pending"] == 1
