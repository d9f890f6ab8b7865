"""A folder that a web server lists as a page of links, as nginx, Apache, Caddy and Python do.

Names come from the links that lead to something directly in the folder; size, time and etag from a HEAD of each.
A redirect is followed only on the same host: an address that was allowed leads nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from urllib.parse import quote, unquote, urljoin, urlsplit

import httpx

from indexer.sources.stores.addresses import Address
from indexer.sources.stores.failures import telling
from indexer.sources.stores.profiles import Profile
from indexer.sources.stores.store import READ_BYTES, Enter, Found, Recent, StoredFile, Unlisted
from search.errors import MedleyError, StoreError, TransientMediaError

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
_MOST_PAGE_BYTES = 32 * 1024**2
_AT_ONCE = 8  # HEADs
_NANOSECONDS = 1_000_000_000
_OPTIONS = frozenset({"username", "password", "headers", "verify"})


def client(address: Address, profile: Profile) -> httpx.Client:
    """A client for one host, which follows no redirect to another. Raises StoreError."""
    options = dict(profile.options)
    if unknown := set(options) - _OPTIONS:
        raise StoreError(f"the profile {profile.name!r} holds {', '.join(sorted(unknown))}, which HTTP does not know")
    auth = (options["username"], options.get("password", "")) if "username" in options else None
    return httpx.Client(
        auth=auth,
        headers=options.get("headers"),
        verify=options.get("verify", True),
        timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
        follow_redirects=True,
        event_hooks={"response": [lambda response: stay_on(address, response)]},
    )


def stay_on(address: Address, response: httpx.Response) -> None:
    """Raise StoreError for a redirect that leads to another host, port or to a scheme other than HTTP."""
    if not response.has_redirect_location:
        return
    target = urlsplit(urljoin(str(response.request.url), response.headers["location"]))
    before = urlsplit(str(response.request.url))
    same = target.hostname == before.hostname and target.scheme in (before.scheme, "https")
    if not same or (target.scheme == before.scheme and target.port != before.port):
        where = f"{target.scheme}://{target.hostname}" if target.hostname else "another address"
        raise StoreError(f"{address.root}: it redirects to {where}, which is not followed; name that address itself")


class HttpStore:
    """A folder of a web server, or a single file."""

    is_atomic = False
    has_content_etags = False
    lists_by_folder = True

    def __init__(self, address: Address, profile: Profile, root: str = "") -> None:
        """`root` is how the address is called, where that is not its own."""
        self._root = root or address.root
        self._base = f"{address.scheme}://{address.authority}/{quote(address.path)}"
        self._address, self._profile = address, profile
        self._client = client(address, profile)
        self._recent: Recent[list[str]] = Recent()

    def files(self, enter: Enter, below: str = "") -> Iterator[Found]:
        """As `Store.files`."""
        with self._telling():
            is_page = self._is_page(below)
        if not is_page:
            yield self.stat(below)
            return
        waiting = [below]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="http-store") as pool:
            while waiting:
                folder = waiting.pop()
                try:
                    files, folders = self._links(folder)
                except (MedleyError, FileNotFoundError) as error:
                    if folder == below:
                        raise
                    self.check()
                    yield Unlisted(folder, str(error).removeprefix(f"{self._root}: "))
                    continue
                yield from (file for file in pool.map(self._stat_or_none, files) if file is not None)
                waiting.extend(name for name in reversed(folders) if enter(name))

    def beside(self, name: str, beginnings: Sequence[str]) -> list[StoredFile]:
        """As `Store.beside`."""
        folder = name.rpartition("/")[0]
        try:
            names = self._recent.get(folder, lambda: self._links(folder)[0])
        except FileNotFoundError:
            return []
        wanted = [candidate for candidate in names if candidate.rpartition("/")[2].startswith(tuple(beginnings))]
        return [file for file in map(self._stat_or_none, wanted) if file is not None]

    def stat(self, name: str) -> StoredFile:
        """As `Store.stat`."""
        with self._telling():
            answer = self._client.head(self._url(name), headers={"Accept-Encoding": "identity"})
            self._check(answer, name)
            length = answer.headers.get("content-length", "")
            if not length.isdigit():
                raise StoreError(f"{self._root}: its server does not say how long {name or 'it'} is")
            etag = answer.headers.get("etag", "").strip().strip('"')
            return StoredFile(name, int(length), _nanoseconds(answer.headers.get("last-modified", "")), etag)

    def read(self, file: StoredFile, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """As `Store.read`."""
        stop = file.size_bytes if end is None else end
        if stop <= start:
            return
        headers = {"Accept-Encoding": "identity"}
        if (start, stop) != (0, file.size_bytes):
            headers["Range"] = f"bytes={start}-{stop - 1}"
        if file.etag and not file.etag.startswith("W/"):
            headers["If-Match"] = f'"{file.etag}"'
        with self._telling(), self._client.stream("GET", self._url(file.name), headers=headers) as answer:
            if answer.status_code in (412, 416):
                raise TransientMediaError(f"{self._root}/{file.name}: changed while it was read")
            self._check(answer, file.name)
            skip = start if answer.status_code != 206 else 0  # a server without ranges sends it all
            left = stop - start
            for piece in answer.iter_bytes(READ_BYTES):
                kept = piece[skip:][:left]
                skip, left = max(0, skip - len(piece)), left - len(kept)
                if kept:
                    yield kept
                if not left:
                    return

    def check(self) -> None:
        """As `Store.check`."""
        with self._telling():
            try:
                self._check(self._client.head(self._url("") + ("/" if not self._base.endswith("/") else "")), "")
            except FileNotFoundError:
                try:
                    self._check(self._client.head(self._url("")), "")
                except FileNotFoundError:
                    raise StoreError(f"{self._root}: is not there") from None

    def close(self) -> None:
        """As `Store.close`."""
        old, self._client = self._client, client(self._address, self._profile)
        old.close()

    def _stat_or_none(self, name: str) -> StoredFile | None:
        with suppress(FileNotFoundError):
            return self.stat(name)
        return None

    def _is_page(self, name: str) -> bool:
        """Is this a page of links (and not a file)?"""
        answer = self._client.head(self._url(name))
        if answer.status_code == 404 or answer.url.path.endswith("/"):
            return True
        self._check(answer, name)
        return str(answer.headers.get("content-type", "")).startswith("text/html")

    def _links(self, folder: str) -> tuple[list[str], list[str]]:
        """Names of the files and of the folders that the page of a folder links to."""
        with self._telling():
            url = self._url(folder)
            with self._client.stream("GET", url if url.endswith("/") else url + "/") as answer:
                self._check(answer, folder)
                page = bytearray()
                for piece in answer.iter_bytes(READ_BYTES):
                    page += piece
                    if len(page) > _MOST_PAGE_BYTES:
                        raise StoreError(f"{self._root}: the page of {folder or 'it'} is too long")
                base = urlsplit(str(answer.url))
        links = _Links()
        links.feed(page.decode("utf-8", "replace"))
        files: set[str] = set()
        folders: set[str] = set()
        for link in links.found:
            target = urlsplit(urljoin(base.geturl(), link))
            inside = target.path.removeprefix(base.path)
            if (target.scheme, target.netloc) != (base.scheme, base.netloc) or inside == target.path or target.query:
                continue
            last = unquote(inside.rstrip("/"))
            if last and "/" not in last and last not in (".", ".."):
                name = f"{folder}/{last}" if folder else last
                (folders if inside.endswith("/") else files).add(name)
        return sorted(files), sorted(folders)

    def _url(self, name: str) -> str:
        return f"{self._base.rstrip('/')}/{quote(name)}" if name else self._base

    def _check(self, answer: httpx.Response, name: str) -> None:
        if answer.status_code in (404, 410):
            raise FileNotFoundError(f"{self._root}/{name}")
        answer.raise_for_status()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        with telling(self._root):
            yield


class _Links(HTMLParser):
    """The addresses that a page's links lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the target of `<a href>`."""
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def _nanoseconds(text: str) -> int:
    with suppress(ValueError, TypeError):
        return int(parsedate_to_datetime(text).timestamp()) * _NANOSECONDS
    return 0
