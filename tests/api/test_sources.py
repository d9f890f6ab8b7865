"""Adding media over HTTP: sources below the allowed folders, uploads, jobs, and repeated writes."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import msgspec
import pytest
from PIL import Image
from support.catalog_world import claims_held
from support.service_world import World, running
from support.waiting import until

from api.backup import pack, unpack
from api.http import allowed_roots, uploads_folder
from api.http.auth import ANONYMOUS, LOOPBACK, Caller
from api.routes.uploads import safe_name
from indexer.ingest import visibility
from indexer.ingest.visibility import VisibleSources
from search.catalog import assets, jobs, queue
from search.catalog.database import Database
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
    until(lambda: client.get("/v1/status").json()["assets"]["pending"] == 1)
    assert client.delete(f"/v1/sources/{source['id']}").status_code == 204
    assert client.get(f"/v1/sources/{source['id']}").status_code == 404
    assert (allowed / "inside" / "a.png").exists()


def test_no_path_leads_out_of_the_allowed_roots(settings: Settings, allowed: Path, tmp_path: Path) -> None:
    (tmp_path / "allowed-not").mkdir()
    (allowed / "link").symlink_to(tmp_path / "allowed-not")
    for outside in ("s3://bucket/x", "/etc", str(allowed / ".."), str(allowed / "link"), str(tmp_path / "allowed-not")):
        with pytest.raises(AccessError):
            allowed_roots.checked(outside, LOOPBACK, settings)
    for nonsense in ("relative", "", f"{allowed}\0/etc"):
        with pytest.raises(UsageError):
            allowed_roots.checked(nonsense, LOOPBACK, settings)
    with pytest.raises(UsageError):
        allowed_roots.checked(str(allowed / "missing"), LOOPBACK, settings)
    assert allowed_roots.checked(str(allowed), LOOPBACK, settings) == str(allowed.resolve())


def test_only_the_person_at_the_machine_may_add_any_folder_without_the_setting(
    settings: Settings, tmp_path: Path
) -> None:
    unset = msgspec.structs.replace(settings, allowed_roots=())
    assert allowed_roots.checked(str(tmp_path), LOOPBACK, unset) == str(tmp_path.resolve())
    assert allowed_roots.checked("~", LOOPBACK, unset) == str(Path.home().resolve())
    for caller in (ANONYMOUS, Caller("admin", 1, LOOPBACK.scopes)):
        with pytest.raises(AccessError, match="allowed_roots"):
            allowed_roots.checked(str(tmp_path), caller, unset)
        assert allowed_roots.roots_for(caller, unset) == ()


def test_folders_can_be_looked_through_within_the_allowed_roots(client: httpx.Client, allowed: Path) -> None:
    Image.new("RGB", (8, 8)).save(allowed / "inside" / "a.png")
    (allowed / "inside" / "notes.docx").write_text("not media")
    (allowed / ".hidden").mkdir()
    begin = client.get("/v1/folders").json()
    assert [folder["path"] for folder in begin["folders"]] == [str(allowed.resolve())]
    listed = client.get("/v1/folders", params={"path": str(allowed)}).json()
    assert [folder["name"] for folder in listed["folders"]] == ["inside"]
    assert listed["parent"] is None, "nobody looks above what is allowed"
    inside = client.get("/v1/folders", params={"path": str(allowed / "inside")}).json()
    assert inside["media"] == 1
    assert inside["parent"] == str(allowed.resolve())
    assert client.get("/v1/folders", params={"path": str(allowed.parent)}).status_code == 403


def test_a_folder_inside_a_source_is_that_source(world: World, client: httpx.Client, allowed: Path) -> None:
    outer = client.post("/v1/sources", json={"root": str(allowed)}).json()
    inner = client.post("/v1/sources", json={"root": str(allowed / "inside")}).json()
    assert inner["id"] == outer["id"]


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
        file = FoundFile(path="/x/a.png", path_bytes=b"/x/a.png", size_bytes=1, modified_ns=1)
        assets.sync_assets(connection, world.source.id, [file])

    def claimable() -> int:
        with world.database.write() as connection:
            claimed = queue.claim(connection, "test", 10, 60)
            queue.release(connection, claims_held(connection, "test"))
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


def test_the_files_of_one_request_are_limited_together(client: httpx.Client, world: World) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + bytes(int(world.settings.max_upload_bytes * 0.6))
    answer = client.post("/v1/search", files=[("image", ("a.png", picture)), ("image", ("b.png", picture))])
    assert answer.status_code == 413
    assert "max_upload_bytes" in answer.json()["detail"]
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


def test_a_replica_whose_home_the_others_do_not_share_refuses_uploads(
    settings: Settings, postgresql_url: str, tmp_path: Path
) -> None:
    """It would answer 201, and no worker would ever find the file."""
    body = {"file": ("a.png", picture_bytes(tmp_path))}
    (tmp_path / "link").symlink_to(settings.home)
    homes = (settings.home, tmp_path / "another home", tmp_path / "link")
    answers = []
    for number, home in enumerate(homes):
        replica = msgspec.structs.replace(settings, home=home)
        world = World(replica, postgresql_url, tmp_path / f"media {number}")
        with running(world.service) as client:
            answers.append(client.post("/v1/assets", files=body))
            if number == 1:
                assert client.get("/health/ready").status_code == 200, "it can do everything else"
                assert not list(home.glob("incoming/*"))
                assert not list(home.glob("uploads/*/*"))
        world.service.close()
    assert [answer.status_code for answer in answers] == [201, 503, 201]
    assert "MEDLEY_HOME" in answers[1].json()["detail"]
    assert str(tmp_path) not in answers[1].text


def test_uploads_that_no_worker_could_read_are_refused(
    world: World, client: httpx.Client, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`medley serve --no-worker` beside workers elsewhere would answer 201, and nothing would come of the file."""
    body = {"file": ("a.png", picture_bytes(tmp_path))}
    uploads_folder.prepare(settings, world.database)  # as at the start of the service
    elsewhere = msgspec.structs.replace(settings, home=tmp_path / "home of the worker")
    with monkeypatch.context() as other_host:
        other_host.setattr(visibility, "read_mark", lambda _folder: 0)  # nothing of this machine's is there
        for _ in range(2):
            VisibleSources(world.database, elsewhere).sources()
            refused = client.post("/v1/assets", files=body)
            assert refused.status_code == 503
            assert "upload_store" in refused.json()["detail"]
            assert str(tmp_path) not in refused.text
    assert not list(settings.home.glob("incoming/*"))
    started = client.post("/v1/uploads", headers={"Upload-Length": "10", "Tus-Resumable": "1.0.0"})
    assert started.status_code == 503
    VisibleSources(world.database, elsewhere).sources()  # another home, but the folder is there all the same
    assert client.post("/v1/assets", files=body).status_code == 201


def test_a_restored_library_takes_uploads_into_its_own_folder(
    world: World, client: httpx.Client, settings: Settings, tmp_path: Path
) -> None:
    assert client.post("/v1/assets", files={"file": ("a.png", picture_bytes(tmp_path))}).status_code == 201
    pack(settings, world.database, tmp_path / "backup.tar")
    elsewhere = msgspec.structs.replace(settings, home=tmp_path / "restored")
    elsewhere.make_home()
    database = Database.open(elsewhere)
    unpack(elsewhere, database, tmp_path / "backup.tar")
    assert uploads_folder.prepare(elsewhere, database) == elsewhere.uploads
    database.close()
