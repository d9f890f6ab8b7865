"""The parts that stores are made of: addresses, profiles, failures in words, local copies, health, redirects."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import msgspec
import pytest
from support.stores import SECRET, http_folder, s3_bucket, sftp_folder
from support.waiting import until

from indexer.sources.stores.addresses import parsed
from indexer.sources.stores.failures import reason_of
from indexer.sources.stores.health import GOOD_SECONDS, Health, forget_stores
from indexer.sources.stores.opening import open_store
from indexer.sources.stores.profiles import profile_for
from indexer.sources.stores.range_server import served
from indexer.sources.stores.scratch import Scratch, sweep
from indexer.sources.stores.store import Enter, Found, StoredFile
from search.errors import PermanentMediaError, StoreError, TransientMediaError, UsageError
from search.settings import Settings


@dataclass
class Shelf:
    """A store of a few bytes that breaks when it is told to."""

    contents: bytes
    breaks: list[int] = field(default_factory=list)  # after so many bytes, one after the other
    asked: list[tuple[int, int | None]] = field(default_factory=list)
    is_atomic = True
    has_content_etags = False
    lists_by_folder = True

    def files(self, enter: Enter, below: str = "") -> Iterator[Found]:
        yield self.stat("")

    def beside(self, name: str, beginnings: object) -> list[StoredFile]:
        return []

    def stat(self, name: str) -> StoredFile:
        return StoredFile(name, len(self.contents), 1)

    def read(self, file: StoredFile, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        self.asked.append((start, end))
        stop = len(self.contents) if end is None else end
        if self.breaks:
            yield self.contents[start : start + self.breaks.pop(0)]
            raise StoreError("the connection broke")
        yield self.contents[start:stop]

    def check(self) -> None:
        pass

    def close(self) -> None:
        pass


# --- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("s3://bucket/", "s3://bucket"),
        ("S3://bucket/a/b/", "s3://bucket/a/b"),
        ("s3a://bucket/x", "s3://bucket/x"),
        ("https://Media.Example.ORG/My%20Photos/", "https://media.example.org/My Photos"),
        ("davs://host/dav", "webdavs://host/dav"),
        ("ssh://ann@nas:2222/volume", "sftp://ann@nas:2222/volume"),
        ("zip://::s3://bucket/a.zip", "zip::s3://bucket/a.zip"),
        ("zip:///media/a.zip", "zip::/media/a.zip"),
        ("zip::file:///media/a%20b.zip", "zip::/media/a b.zip"),
    ],
)
def test_an_address_has_one_spelling(text: str, root: str) -> None:
    assert parsed(text).root == root
    assert parsed(root).root == root


@pytest.mark.parametrize(
    "text",
    [
        "s3://key:secret@bucket/x",
        "https://ann:secret@host/x",
        "https://host/x?token=secret",
        "sftp://ann:secret@host/x",
        "https://host/x#secret",
        "zip::https://ann:secret@host/a.zip",
        "s3://",
        "file:///etc",
        "simplecache::s3://bucket/x",
        "https://host/a/../b",
        "https://host:port/x",
    ],
)
def test_what_could_tell_a_secret_or_lead_elsewhere_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(UsageError) as told:
        parsed(text)
    assert "secret" not in str(told.value)


def test_profiles_are_chosen_by_name_or_by_the_longest_fitting_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ITS_SECRET", SECRET)
    (tmp_path / "stores.toml").write_text(
        '[wide]\nurl = "s3://photos"\nkey = "a"\n[narrow]\nurl = "s3://photos/2024"\nsecret = "$ITS_SECRET"\n'
    )
    assert profile_for(tmp_path, "s3://photos/x", "").name == "wide"
    assert profile_for(tmp_path, "s3://photos-2", "").name == ""
    narrow = profile_for(tmp_path, "s3://photos/2024/may", "")
    assert narrow.options["secret"] == SECRET
    assert SECRET not in repr(narrow)
    (tmp_path / "stores.toml").write_text(f'[x]\nkey = "{SECRET}')
    with pytest.raises(StoreError) as told:
        profile_for(tmp_path, "s3://photos", "")
    assert SECRET not in str(told.value)


# --- failures -------------------------------------------------------------------------------------------------------


def test_no_text_of_a_library_is_passed_on() -> None:
    request = httpx.Request("GET", f"https://host/x?signature={SECRET}")
    busy = httpx.HTTPStatusError(SECRET, request=request, response=httpx.Response(429, request=request))
    refused = httpx.HTTPStatusError(SECRET, request=request, response=httpx.Response(403, request=request))
    for error in (busy, refused, RuntimeError(SECRET), httpx.ConnectError(SECRET), TimeoutError(SECRET)):
        assert SECRET not in reason_of(error)
    assert "fewer requests" in reason_of(busy)
    assert "refuses" in reason_of(refused)


def test_wrong_credentials_are_said_plainly_and_not_shown(settings: Settings) -> None:
    with s3_bucket() as bucket:
        bucket.profile(settings.home)
        with pytest.raises(StoreError, match="there is no bucket nowhere"):
            open_store(settings, "s3://nowhere/x", "test").check()
    forget_stores()


def test_a_server_whose_key_is_unknown_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    with sftp_folder(tmp_path / "served", settings.home) as address:
        (settings.home / "known_hosts").write_text("")
        with pytest.raises(StoreError) as told:
            open_store(settings, address).check()
        assert str(told.value) == f"{address}: its host key is not in known_hosts"


def test_an_archive_that_is_damaged_is_called_so_and_not_tried_as_if_it_were_back(
    settings: Settings, tmp_path: Path
) -> None:
    for kind in ("zip", "tar"):
        (tmp_path / f"a.{kind}").write_bytes(b"PK\x03\x04 and no more")
        with pytest.raises(StoreError, match="can't be read as an archive"):
            open_store(settings, f"{kind}::{tmp_path}/a.{kind}").check()


def test_a_redirect_to_another_host_is_not_followed(settings: Settings, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key.jpg").write_bytes(b"\xff\xd8\xffsecret")
    with http_folder(secret) as inside:

        def redirecting(handler: type) -> type:
            class Redirecting(handler):  # type: ignore[misc]
                def do_GET(self) -> None:  # noqa: N802 - http.server's name
                    self.send_response(302)
                    self.send_header("Location", f"{inside.replace('127.0.0.1', 'localhost')}/key.jpg")
                    self.send_header("Content-Length", "0")
                    self.end_headers()

                do_HEAD = do_GET  # noqa: N815

            return Redirecting

        with http_folder(tmp_path, redirecting) as outside:
            store = open_store(settings, outside)
            with pytest.raises(StoreError, match="redirects to http://localhost"):
                list(store.files(lambda _: True))
            with pytest.raises(StoreError, match="redirects"):
                list(store.read(StoredFile("a.jpg", 5, 1)))
    forget_stores()


def test_throttled_requests_are_repeated_until_they_pass(settings: Settings, tmp_path: Path) -> None:
    """As S3 does it: 503 with SlowDown. What counts is that the library waits, and that it ends."""
    turned_down: list[str] = []
    body = b"<Error><Code>SlowDown</Code><Message>x</Message></Error>"
    listing = (
        b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><KeyCount>0</KeyCount>'
        b"<IsTruncated>false</IsTruncated></ListBucketResult>"
    )

    def throttling(handler: type) -> type:
        class Throttling(handler):  # type: ignore[misc]
            def do_GET(self) -> None:  # noqa: N802 - http.server's name
                slow = len(turned_down) < 2 or self.path.startswith("/always")
                turned_down.append(self.path)
                answer = body if slow else listing
                self.send_response(503 if slow else 200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        return Throttling

    with http_folder(tmp_path, throttling) as endpoint:
        settings.home.mkdir(parents=True, exist_ok=True)
        (settings.home / "stores.toml").write_text(
            f'[b]\nendpoint_url = "{endpoint}"\nkey = "k"\nsecret = "{SECRET}"\naddressing_style = "path"\n'
        )
        open_store(settings, "s3://b/x", "b").check()
        assert len(turned_down) == 3
        with pytest.raises(StoreError, match="asks for fewer requests"):
            open_store(settings, "s3://always/x", "b").check()
    forget_stores()


# --- local copies ---------------------------------------------------------------------------------------------------


def copied(scratch: Scratch, shelf: Shelf, name: str = "a.jpg") -> bytes:
    with scratch.copy(shelf, shelf.stat(name), [], f"s3://b/{name}") as path:
        return path.read_bytes()


def test_a_copy_whose_connection_breaks_goes_on_where_it_stopped(tmp_path: Path) -> None:
    shelf = Shelf(b"0123456789", breaks=[4, 3])
    assert copied(Scratch(tmp_path, 100), shelf) == shelf.contents
    assert [start for start, _ in shelf.asked] == [0, 4, 7]


def test_a_file_larger_than_the_limit_is_refused_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(PermanentMediaError, match="scratch_bytes"):
        copied(Scratch(tmp_path, 9), Shelf(b"0123456789"))


def test_a_file_that_holds_more_or_less_than_it_says_is_no_copy(tmp_path: Path) -> None:
    shelf = Shelf(b"0123456789")
    scratch = Scratch(tmp_path, 100)
    for size, error in ((5, PermanentMediaError), (15, TransientMediaError)):
        with pytest.raises(error), scratch.copy(shelf, StoredFile("a.jpg", size, 1), [], "s3://b/a.jpg"):
            pass
    assert not list(tmp_path.rglob("a.jpg"))


def test_copies_wait_for_room_and_stop_waiting_when_the_worker_stops(tmp_path: Path) -> None:
    scratch, shelf = Scratch(tmp_path, 15), Shelf(b"0123456789")
    waiting, outcomes = threading.Event(), list[str]()

    def second() -> None:
        waiting.set()
        try:
            outcomes.append(str(len(copied(scratch, shelf))))
        except TransientMediaError as error:
            outcomes.append(str(error))

    with scratch.copy(shelf, shelf.stat("a"), [], "a"):
        thread = threading.Thread(target=second)
        thread.start()
        waiting.wait(10)
        until(lambda: not outcomes)
        scratch.interrupt()
        thread.join(10)
    assert outcomes == ["copying it was interrupted"]
    assert copied(scratch, shelf) == shelf.contents, "there is room again"


def test_names_that_no_file_system_takes_are_shortened(tmp_path: Path) -> None:
    scratch, shelf = Scratch(tmp_path, 100), Shelf(b"x")
    for name in ("ü" * 400 + ".jpg", "..", "a\0b"):
        assert copied(scratch, shelf, name) == b"x"


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from indexer.sources.stores.scratch import Scratch\n"
        "from indexer.sources.stores.store import StoredFile\n"
        "class Shelf:\n"
        "    def read(self, file, start=0, end=None): yield b'x' * file.size_bytes\n"
        "with Scratch(Path(sys.argv[1]), 100).copy(Shelf(), StoredFile('a.jpg', 10, 1), [], 'a') as path:\n"
        "    print(path, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        left = Path(process.stdout.readline().strip())
        assert left.is_file()
        assert sweep(tmp_path) == 0, "its process lives"
        process.kill()
    assert left.is_file()
    assert copied(Scratch(tmp_path, 100), Shelf(b"x")) == b"x"
    assert not left.exists()


# --- health ---------------------------------------------------------------------------------------------------------


def test_a_store_that_fails_is_asked_ever_more_rarely_and_nobody_waits_for_it() -> None:
    now, asked, failing = [0.0], [], [True]

    def check() -> None:
        asked.append(now[0])
        if failing[0]:
            raise StoreError("s3://b: does not answer")

    health = Health(check, clock=lambda: now[0])
    assert not health.is_good()
    assert health.reason == "s3://b: does not answer"
    for _ in range(600):
        before = len(asked)
        now[0] += 1.0
        health.is_good()
        until(lambda before=before: not health.is_asking() or len(asked) > before)  # type: ignore[misc]
    until(lambda: not health.is_asking())
    assert 8 <= len(asked) <= 16
    failing[0] = False
    now[0] += GOOD_SECONDS + 1
    health.is_good()
    until(health.is_good)


def test_a_failure_that_is_long_past_is_not_told_as_the_state_of_now() -> None:
    now, failing = [0.0], [True]

    def check() -> None:
        if failing[0]:
            raise StoreError("s3://b: does not answer")

    health = Health(check, clock=lambda: now[0])
    assert not health.is_good()
    failing[0] = False
    now[0] += 3600
    assert health.is_good()  # whoever looks at a picture an hour later sees it at once


# --- parts for ffmpeg -----------------------------------------------------------------------------------------------


def test_parts_of_a_file_are_served_to_whoever_knows_the_address(tmp_path: Path) -> None:
    shelf = Shelf(bytes(range(200)))
    with served(shelf, shelf.stat("a")) as address:
        part = httpx.get(address, headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
        assert part.headers["content-range"] == "bytes 10-19/200"
        assert httpx.get(address, headers={"Range": "bytes=190-"}).content == bytes(range(190, 200))
        assert httpx.get(address, headers={"Range": "bytes=300-"}).status_code == 416
        assert httpx.get(address.rpartition("/")[0] + "/guess").status_code == 404
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)
    assert shelf.asked[0] == (10, 20), "no more is read than what is asked for"


def test_a_single_object_and_a_prefix_are_told_apart(settings: Settings) -> None:
    with s3_bucket() as bucket:
        bucket.profile(settings.home)
        bucket.put("a.jpg", b"x")
        bucket.put("a.jpg.folder/b.jpg", b"y")
        names = [found.name for found in open_store(settings, "s3://photos/a.jpg").files(lambda _: True)]
        assert names == [""]
        store = open_store(settings, "s3://photos")
        assert [found.name for found in store.files(lambda _: True)] == ["a.jpg", "a.jpg.folder/b.jpg"]
        file = store.stat("a.jpg")
        bucket.put("a.jpg", b"z")
        with pytest.raises(TransientMediaError, match="changed"):
            list(store.read(file))
        assert replace(store.stat("a.jpg"), modified_ns=0) != replace(file, modified_ns=0)


def test_settings_take_lists_of_addresses(tmp_path: Path) -> None:
    given = Settings.load({"MEDLEY_ALLOWED_STORES": "s3://a, https://b/c"}, home=tmp_path)
    assert given.allowed_stores == ("s3://a", "https://b/c")
    assert msgspec.structs.replace(given, upload_store="s3://a").upload_store == "s3://a"
