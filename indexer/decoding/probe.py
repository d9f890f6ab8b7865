"""What a file is, by its content and not by its name.

Looks at the first bytes and opens nothing else; what a container holds is for its decoder to say.
Playlists, archives and drawings are refused by name, so that nothing in a file can make ffmpeg open
another file or a URL. Text has no mark: its suffix must say that somebody wrote it to be read.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

from search.errors import PermanentMediaError

HEAD_BYTES = 4096


def _words(line: str) -> list[str]:
    return line.split()


IMAGE_SUFFIXES = frozenset(
    _words(
        ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .tif .tiff .bmp .dib .heic .heif .hif .avif .avifs .jp2 .j2k .jpx "
        ".jpf .j2c .jpc .ico .cur .icns .ppm .pgm .pbm .pnm .pfm .tga .pcx .psd .qoi .dds .sgi .mpo .svg .svgz "
        ".jxl .insp"
    )
)
RAW_SUFFIXES = frozenset(
    _words(".dng .cr2 .cr3 .crw .nef .nrw .arw .sr2 .srf .orf .rw2 .raf .pef .srw .raw .rwl .3fr .iiq .erf .mrw .x3f")
)
AUDIO_SUFFIXES = frozenset(
    _words(
        ".wav .mp3 .flac .ogg .oga .opus .m4a .m4b .aac .aif .aiff .aifc .wma .amr .awb .ac3 .eac3 .dts .ape .wv .mka "
        ".caf .au .snd .tta .mpc .w64 .spx .mp2 .voc .gsm .tak .dsf"
    )
)
VIDEO_SUFFIXES = frozenset(
    _words(
        ".mp4 .m4v .mov .qt .mkv .webm .avi .mpg .mpeg .m2v .vob .ts .mts .m2ts .wmv .asf .flv .f4v .3gp .3g2 .ogv "
        ".mxf .dv .rm .rmvb .y4m .mjpeg .mjpg .nut .divx .ivf .h264 .hevc"
    )
)
SIDE_CAR_SUFFIXES = (".srt", ".vtt", ".lrc")  # words that lie beside a recording or video, or by themselves
PDF_SUFFIXES = frozenset({".pdf"})
TEXT_SUFFIXES = frozenset({".txt", ".text", ".md", ".markdown"})
# Names that other kinds of file carry too (TypeScript, raw dumps): the content has to agree.
_AMBIGUOUS_SUFFIXES = frozenset({"", ".ts", ".mts", ".raw", ".rm", ".snd", ".erf", ".dat", ".bin"})
MEDIA_SUFFIXES = IMAGE_SUFFIXES | RAW_SUFFIXES | AUDIO_SUFFIXES | VIDEO_SUFFIXES
DOCUMENT_SUFFIXES = PDF_SUFFIXES | TEXT_SUFFIXES

# Demuxers that read media and nothing else: no playlist, device, network or image-sequence reader.
DEMUXERS = ",".join(
    (
        *_words(
            "aac ac3 aiff amr amrnb amrwb ape asf au av1 avi caf dsf dts dtshd dv eac3 flac flv gsm gxf h264 hevc ivf "
            "loas m4v matroska mjpeg mlp mov mp3 mpc mpc8 mpeg mpegts mpegvideo mxf nsv nut obu ogg oma qcp rm shn "
            "smjpeg swf tak truehd tta vc1 voc w64 wav wtv wv xwma yuv4mpegpipe"
        ),
        "matroska,webm",
        "mov,mp4,m4a,3gp,3g2,mj2",
    )
)
# `protocol_whitelist` alone would let a playlist open /etc/passwd.
CONTAINER_OPTIONS = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file,pipe"}


class Content(StrEnum):
    """What the first bytes of a file look like."""

    EMPTY = "an empty file"
    IMAGE = "an image"
    RAW = "a camera's raw file"
    CONTAINER = "audio or video"
    SVG = "an SVG drawing"
    PLAYLIST = "a playlist"
    PDF = "a PDF"
    DOCUMENT = "a document or archive"
    TEXT = "a text file"
    UNKNOWN = "of an unknown format"


_IMAGE_MAGIC = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"\0\0\0\x0cjP  \r\n",
    b"\xff\x4f\xff\x51",
    b"\0\0\1\0",
    b"\0\0\2\0",
    b"icns",
    b"8BPS",
    b"qoif",
    b"DDS ",
    b"\x01\xda",
    b"\xff\x0a",
    b"\0\0\0\x0cJXL \r\n\x87\n",
)
_RAW_MAGIC = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"II\x1a\0\0\0HEAPCCDR", b"\0MRM", b"FOVb")
_CONTAINER_MAGIC = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"OggS",
    b"fLaC",
    b"ID3",
    b"FLV\1",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF: WMA, WMV
    b"\0\0\1\xba",
    b"\0\0\1\xb3",
    b"#!AMR",
    b".snd",
    b"caff",
    b"MAC ",
    b"wvpk",
    b"TTA1",
    b"MPCK",
    b"MP+",
    b".RMF",
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01",  # MXF
    b"\x0b\x77",  # AC-3
    b"riff\x2e\x91\xcf\x11",  # Wave64
    b"YUV4MPEG2 ",
    b"DKIF",
    b"nut/multimedia container",
    b"Creative Voice File",
)
# Marks that other kinds of file do not carry by chance, with which a suffix that nobody knows is believed.
_SURE_MAGIC = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"\0\0\0\x0cjP  \r\n",
    b"\0\0\0\x0cJXL \r\n\x87\n",
    b"\x1a\x45\xdf\xa3",
    b"OggS",
    b"fLaC",
    b"ID3",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    b"%PDF-",
)
_SURE_RIFF = (b"WAVE", b"AVI ", b"WEBP")
_DOCUMENT_MAGIC = (
    b"%!PS",
    b"PK\3\4",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ",
    b"7z\xbc\xaf",
    b"Rar!",
    b"\x28\xb5\x2f\xfd",
    b"\x7fELF",
    b"MZ",
    b"SQLite format 3",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
)
_PDF_JUNK_BYTES = 1024  # may stand before the mark: mail headers, printer commands
_IMAGE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis", b"mif2")
_PLAYLIST_STARTS = (b"#extm3u", b"ffconcat", b"[playlist]", b"v=0", b"<?wpl", b"<smil", b"<mpd", b"<asx", b"<playlist")


# What a file that somebody wrote may look like: a README may begin with a drawing, notes with a playlist's first word.
_WRITTEN = (Content.TEXT, Content.SVG, Content.PLAYLIST, Content.UNKNOWN)


def sniff(head: bytes) -> Content:
    """What a file that starts with `head` (up to HEAD_BYTES) is."""
    if not head:
        return Content.EMPTY
    if head[4:8] == b"ftyp":
        brands = head[8:12], *(head[i : i + 4] for i in range(16, min(len(head), 64), 4))
        if head[8:12] == b"crx ":
            return Content.RAW
        # The major brand decides; 'mif1' also stands among the compatible ones of image files only.
        return Content.IMAGE if head[8:12] in _IMAGE_BRANDS or b"mif1" in brands else Content.CONTAINER
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"FORM"):
        return Content.IMAGE if head[8:12] == b"WEBP" else Content.CONTAINER
    for magic, content in (
        (_IMAGE_MAGIC, Content.IMAGE),
        (_RAW_MAGIC, Content.RAW),
        (_CONTAINER_MAGIC, Content.CONTAINER),
        ((b"%PDF-",), Content.PDF),
        (_DOCUMENT_MAGIC, Content.DOCUMENT),
    ):
        if head.startswith(magic):
            return content
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip"):
        return Content.CONTAINER
    return _sniff_loose(head)


def _sniff_loose(head: bytes) -> Content:
    """Formats with weak marks, which text and noise may carry too."""
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return Content.IMAGE
    if head[:1] == b"P" and head[1:2] in b"1234567Ff" and head[2:3].isspace():
        return Content.IMAGE
    if b"%PDF-" in head[:_PDF_JUNK_BYTES]:
        return Content.PDF
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1024].lower()
    if start.startswith(_PLAYLIST_STARTS):
        return Content.PLAYLIST
    if start.startswith((b"<svg", b"<?xml", b"<!doctype svg", b"<!--")) and b"<svg" in start:
        return Content.SVG
    if len(head) > 188 * 2 and head[0] == head[188] == head[376] == 0x47:
        return Content.CONTAINER  # MPEG-TS
    if len(head) > 192 * 2 + 4 and head[4] == head[196] == head[388] == 0x47:
        return Content.CONTAINER  # M2TS
    if head[:1] == b"\xff" and head[1:2] and head[1] & 0xE0 == 0xE0 and head[1] & 0x18 != 0x08 and not _is_text(head):
        return Content.CONTAINER  # a bare MPEG or ADTS frame
    return Content.TEXT if _is_text(head) else Content.UNKNOWN


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16: of ASCII letters, every other byte is zero
        return max(head[2::2].count(0), head[3::2].count(0)) > len(head) // 4
    if b"\0" in head:
        return False
    letters = sum(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head)
    try:
        head[:-3].decode("utf-8")  # the last character may be cut in two
        return letters > len(head) // 3 or not any(byte < 32 and byte not in b"\t\n\f\r" for byte in head)
    except UnicodeDecodeError:
        return letters > len(head) * 0.85  # an older encoding, such as Latin-1


def looks_like_media(name: bytes, head: bytes | None = None) -> bool:
    """Say whether a scan should take a file of this name; `head` is asked only when the name says nothing.

    A suffix that nobody knows (`.jpg_large`, `.MP`, `.jpg~`) needs contents that can be nothing else.
    """
    suffix = os.fsdecode(os.path.splitext(name)[1]).lower()  # noqa: PTH122 - names are bytes
    if suffix in (MEDIA_SUFFIXES - _AMBIGUOUS_SUFFIXES) | DOCUMENT_SUFFIXES:
        return True
    if head is None:
        return False
    if suffix in _AMBIGUOUS_SUFFIXES:
        return sniff(head) in (Content.IMAGE, Content.RAW, Content.CONTAINER, Content.PDF)
    return head[4:8] == b"ftyp" or head.startswith(_SURE_MAGIC) or (head[:4] == b"RIFF" and head[8:12] in _SURE_RIFF)


def looks_like_text_file(name: str) -> bool:
    """By its name alone: does somebody mean it to be read as text?"""
    return os.path.splitext(name)[1].lower() in TEXT_SUFFIXES.union(SIDE_CAR_SUFFIXES)  # noqa: PTH122


def read_head(path: Path) -> bytes:
    """The first HEAD_BYTES of a file."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def probe(path: Path) -> Content:
    """IMAGE, RAW, CONTAINER, PDF or TEXT: which decoder a file wants. Raises PermanentMediaError when none does."""
    head = read_head(path)
    content, suffix = sniff(head), path.suffix.lower()
    # The marks of UTF-16 are those of an MPEG frame, too.
    if looks_like_text_file(path.name) and (content in _WRITTEN or head.startswith((b"\xff\xfe", b"\xfe\xff"))):
        return Content.TEXT
    if content is Content.UNKNOWN:  # formats without a mark, such as TGA
        if suffix in RAW_SUFFIXES:
            return Content.RAW
        if suffix in IMAGE_SUFFIXES:
            return Content.IMAGE
        if suffix in AUDIO_SUFFIXES | VIDEO_SUFFIXES:
            return Content.CONTAINER
    if content in (Content.IMAGE, Content.RAW, Content.CONTAINER, Content.PDF):
        return content
    if content is Content.SVG:
        raise PermanentMediaError("is an SVG drawing: SVG is refused, because no safe renderer ships with Medley")
    if content is Content.PLAYLIST:
        raise PermanentMediaError("is a playlist: playlists are refused, because they make the reader open other files")
    raise PermanentMediaError(f"is {content}: nothing in it can be indexed")
