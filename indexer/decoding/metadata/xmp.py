"""Adobe's XMP: the properties of a packet inside a picture, or of an `.xmp` file beside it.

Parsed by defusedxml: no entity expands, nothing outside the packet is read. Knows RDF's few shapes; knows nothing of
what the properties mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

MAX_BYTES = 4 * 1024**2
_MAX_VALUES = 200  # of one property
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
# By namespace and not by prefix, which every writer may choose.
_PREFIXES = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://cipa.jp/exif/1.0/": "exifEX",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://www.digikam.org/ns/1.0/": "digiKam",
    "http://ns.adobe.com/lightroom/1.0/": "lr",
}

Properties = Mapping[str, Sequence[str]]


def read_xmp(packet: bytes | str) -> Properties:
    """Values by name (`dc:title`), in the packet's order, the default language first; empty when it is damaged."""
    data = packet if isinstance(packet, bytes) else packet.encode("utf-8", "replace")
    start, end = data.find(b"<"), data.rfind(b">") + 1  # some writers pad with zeros
    try:
        root = fromstring(data[start:end][:MAX_BYTES]) if 0 <= start < end else None
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        root = None
    if root is None:
        return {}
    properties: dict[str, list[str]] = {}
    for name, value in (pair for description in root.iter(f"{_RDF}Description") for pair in _properties(description)):
        values = properties.setdefault(name, [])
        if len(values) < _MAX_VALUES:
            values.append(value)
    return properties


def _properties(description: Element) -> Iterator[tuple[str, str]]:
    for key, value in description.attrib.items():
        if (name := _name(key)) and value.strip():
            yield name, value
    for child in description:
        if name := _name(child.tag):
            yield from ((name, value) for value in _values(child))


def _values(element: Element) -> list[str]:
    """The text of a simple property, or the entries of a list."""
    entries = list(element.iter(f"{_RDF}li"))
    entries.sort(key=lambda entry: entry.get(_LANGUAGE, "x-default") != "x-default")
    return [text.strip() for entry in entries or [element] if (text := entry.text) and text.strip()]


def _name(tag: str) -> str | None:
    namespace, _, local = tag.removeprefix("{").rpartition("}")
    prefix = _PREFIXES.get(namespace)
    return f"{prefix}:{local}" if prefix else None
