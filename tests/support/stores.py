"""Real servers on loopback that stores are tested against: S3 (moto), WebDAV (wsgidav), SFTP (asyncssh), HTTP."""

from __future__ import annotations

import asyncio
import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import boto3
from botocore.config import Config
from cheroot import wsgi
from moto.server import ThreadedMotoServer
from wsgidav.wsgidav_app import WsgiDAVApp

from indexer.sources.stores.health import forget_stores

KEY, SECRET = "AKIATESTTESTTESTTEST", "a-secret-that-nobody-may-see"


@dataclass
class Bucket:
    """A bucket of an S3 server of its own, which can be taken down and brought back on the same port."""

    name: str
    endpoint: str
    client: Any
    server: Any

    def stop(self) -> None:
        """Take the server down; what it holds stays."""
        self.server.stop()

    def start(self) -> None:
        """Bring it back on the same port."""
        port = int(self.endpoint.rpartition(":")[2])
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
        self.server.start()

    def put(self, key: str, contents: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=contents)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def move(self, key: str, to: str) -> None:
        self.client.copy_object(Bucket=self.name, Key=to, CopySource={"Bucket": self.name, "Key": key})
        self.delete(key)

    def profile(self, home: Path, name: str = "test") -> str:
        """Write the profile that reaches it; returns its name."""
        home.mkdir(parents=True, exist_ok=True)
        (home / "stores.toml").write_text(
            f'[{name}]\nurl = "s3://{self.name}"\nendpoint_url = "{self.endpoint}"\n'
            f'key = "{KEY}"\nsecret = "{SECRET}"\n'
        )
        return name


@contextmanager
def s3_bucket(name: str = "photos") -> Iterator[Bucket]:
    """A bucket on a real S3 server in this process."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}),
    )
    client.create_bucket(Bucket=name)
    bucket = Bucket(name, endpoint, client, server)
    try:
        yield bucket
    finally:
        forget_stores()
        for one in client.list_buckets()["Buckets"]:
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=one["Name"]):
                for entry in page.get("Contents", ()):
                    client.delete_object(Bucket=one["Name"], Key=entry["Key"])
            client.delete_bucket(Bucket=one["Name"])
        client.close()
        bucket.stop()


@contextmanager
def sftp_folder(folder: Path, home: Path) -> Iterator[str]:
    """The address of a folder on a real SFTP server, whose key is known and which lets the profile in."""
    ready: dict[str, Any] = {}
    key = asyncssh.generate_private_key("ssh-ed25519")
    loop = asyncio.new_event_loop()

    connections: list[asyncssh.SSHServerConnection] = []

    class Server(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            connections.append(conn)

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == ("ann", SECRET)

    async def serve() -> None:
        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=Server,
            server_host_keys=[key],
            sftp_factory=functools.partial(asyncssh.SFTPServer, chroot=bytes(folder)),
        )
        ready["port"], ready["server"] = server.get_port(), server

    async def end() -> None:
        ready["server"].close()
        for connection in connections:
            connection.abort()
            await connection.wait_closed()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        loop.stop()

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(serve(), loop).result(20)
    port = ready["port"]
    known = home / "known_hosts"
    home.mkdir(parents=True, exist_ok=True)
    known.write_text(f"[127.0.0.1]:{port} {key.export_public_key().decode()}")
    address = f"sftp://ann@127.0.0.1:{port}"
    (home / "stores.toml").write_text(
        f'[nas]\nurl = "{address}"\npassword = "{SECRET}"\nknown_hosts = "{known}"\nclient_keys = []\nagent_path = ""\n'
    )
    try:
        yield address
    finally:
        forget_stores()
        asyncio.run_coroutine_threadsafe(end(), loop)
        thread.join(10)
        loop.close()


@contextmanager
def webdav_folder(folder: Path, home: Path) -> Iterator[str]:
    """The address of a folder on a real WebDAV server that wants a password."""
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/": str(folder)},
            "simple_dc": {"user_mapping": {"*": {"ann": {"password": SECRET}}}},
            "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
            "verbose": 0,
            "logging": {"enable": False},
        }
    )
    server = wsgi.Server(("127.0.0.1", 0), app)
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    address = f"webdav://127.0.0.1:{server.bind_addr[1]}"
    home.mkdir(parents=True, exist_ok=True)
    (home / "stores.toml").write_text(f'[cloud]\nurl = "{address}"\nusername = "ann"\npassword = "{SECRET}"\n')
    try:
        yield address
    finally:
        forget_stores()
        server.stop()
        thread.join(10)


@contextmanager
def http_folder(folder: Path, change: Callable[[type], type] = lambda handler: handler) -> Iterator[str]:
    """The address of a folder that Python's own web server lists; `change` may make another handler of its."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(change(Handler), directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        forget_stores()
        server.shutdown()
        server.server_close()
        thread.join(10)
