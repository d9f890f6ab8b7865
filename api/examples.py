"""Examples for the OpenAPI document, by method and path. A test holds them against the schemas."""

from __future__ import annotations

from typing import Any

_ASSET_VIEW = {
    "id": "12", "path": "/media/2024/harbour.mp4", "kind": "video", "width": 1920, "height": 1080,
    "duration_seconds": 93.4, "captured_at": "2024-07-14T09:30:00+00:00", "camera": None, "title": None,
    "language": "en", "latitude": None, "longitude": None,
}  # fmt: skip
_MOMENT = {
    "segment_id": 311, "signal": "frame", "start_seconds": 12.0, "end_seconds": 17.5, "text": None, "score": 0.31,
    "relevance": 0.85, "thumbnail": "/v1/segments/311/thumbnail",
}  # fmt: skip
_HIT = {"asset": _ASSET_VIEW, "relevance": 0.87, "moments": [_MOMENT]}
_ASSET = {
    "id": "12", "path": "/media/2024/harbour.mp4", "kind": "video", "status": "indexed", "source_id": "1",
    "size_bytes": 18734112, "modified_at": "2024-07-14T09:32:00Z", "width": 1920, "height": 1080,
    "duration_seconds": 93.4, "captured_at": "2024-07-14T09:30:00Z", "indexed_at": "2024-07-15T20:00:00Z",
}  # fmt: skip
_SEGMENT = {
    "id": 312, "signal": "speech", "start_seconds": 3.1, "end_seconds": 7.9, "text": "We leave the harbour at noon.",
    "details": None,
}  # fmt: skip
_SOURCE = {
    "id": "1", "root": "/media/2024", "recursive": True, "watched": True, "state": "active", "reason": None,
    "created_at": "2024-07-15T19:58:00Z", "scanned_at": "2024-07-15T19:59:00Z",
}  # fmt: skip
_JOB = {
    "id": "4", "kind": "scan", "state": "running", "stage": "indexing", "total": 1200, "done": 300, "failed": 2,
    "rate_per_second": 28.5, "seconds_left": 31.5, "source_id": "1", "space_id": None, "error": None,
    "created_at": "2024-07-15T19:58:00Z", "updated_at": "2024-07-15T19:58:11Z",
}  # fmt: skip
_COUNTS = {"total": 1202, "pending": 900, "working": 32, "indexed": 268, "quarantined": 2, "missing": 0}
_SPACE = {
    "name": "starter", "state": "active", "fingerprint": "c82e301114b1", "created_at": "2024-07-15T19:58:00Z",
    "coverage": [{"signal": "image", "segments": 268, "embedded": 268, "missing": 0, "bytes_when_full": 205824}],
}  # fmt: skip
_KEY = {
    "id": "1", "name": "laptop", "scopes": ["read"], "created_at": "2024-07-15T19:58:00Z", "used_at": None,
    "revoked_at": None,
}  # fmt: skip
_MODEL = {"id": "starter", "object": "model", "created": 1721073480, "owned_by": "medley"}
_SESSION = {"name": "laptop", "scopes": ["read"], "key_needed": False}
_UPLOADED = {"id": "77", "path": "/data/uploads/ab/ab12-photo.jpg", "status": "pending", "known": False}


def _page(item: dict[str, Any]) -> dict[str, Any]:
    return {"items": [item], "next_cursor": None}


#: (method, path) -> a JSON body to send
REQUESTS: dict[tuple[str, str], Any] = {
    ("post", "/v1/answers"): {"question": "When do we leave the harbour?", "filters": {"kind": ["video"]}},
    ("post", "/v1/sources"): {"root": "/media/2024"},
    ("post", "/v1/spaces"): {"name": "next", "model": "ViT-B-32", "pretrained": "laion2b_s34b_b79k"},
    ("post", "/v1/spaces/{name}/compare"): {"queries": ["a dog on the beach", "harbour"], "limit": 5},
    ("post", "/v1/embeddings"): {"model": "starter", "input": ["a dog", "data:image/png;base64,iVBORw0KGgo="]},
    ("post", "/v1/rerank"): {"query": "a dog", "documents": ["a cat sleeps", "a dog barks"], "top_n": 1},
    ("post", "/v1/keys"): {"name": "laptop", "scopes": ["read"]},
}

#: (method, path) -> what comes back when all is well
ANSWERS: dict[tuple[str, str], Any] = {
    ("post", "/v1/search"): {
        "query": {"text": "harbour", "parts": [{"weight": 1.0, "text": "harbour"}], "aspects": [], "limit": 20},
        "hits": [_HIT], "matched": True, "confident": True, "next_cursor": None, "space": "starter",
        "took_seconds": 0.0123,
    },
    ("post", "/v1/answers"): {
        "question": "When do we leave the harbour?", "answer": "We leave at noon. [1]", "found": True,
        "citations": [{
            "number": 1, "asset_id": "12", "path": "/media/2024/harbour.mp4", "segment_id": 312, "signal": "speech",
            "start_seconds": 3.1, "end_seconds": 7.9, "quote": "We leave the harbour at noon.", "support": 0.93,
        }],
        "hits": [_HIT], "space": "starter", "model": "smollm2", "took_seconds": 1.2, "conversation": None,
    },
    ("get", "/v1/sources"): _page(_SOURCE),
    ("post", "/v1/sources"): _SOURCE,
    ("get", "/v1/sources/{source_id}"): _SOURCE,
    ("post", "/v1/sources/{source_id}/scan"): _JOB,
    ("get", "/v1/assets"): _page(_ASSET),
    ("post", "/v1/assets"): _UPLOADED,
    ("get", "/v1/assets/{asset_id}"): _ASSET,
    ("get", "/v1/assets/{asset_id}/segments"): _page(_SEGMENT),
    ("get", "/v1/segments/{segment_id}"): _SEGMENT,
    ("get", "/v1/status"): {
        "assets": _COUNTS, "unread": 12, "noted": 3, "kinds": {"image": 1100, "video": 102},
        "segments": {"image": 250, "frame": 180},
        "sources": [_SOURCE], "space": "starter", "database": "postgresql", "version": "0.1.0",
    },
    ("get", "/v1/failures"): _page({
        "asset_id": "9", "path": "/media/2024/broken.jpg", "status": "quarantined", "reason": "is an empty file",
        "attempts": 1,
    }),
    ("post", "/v1/failures/retry"): {"count": 2},
    ("get", "/v1/jobs"): _page(_JOB),
    ("get", "/v1/jobs/{job_id}"): _JOB,
    ("post", "/v1/jobs/{job_id}/{action}"): _JOB | {"state": "paused"},
    ("get", "/v1/spaces"): _page(_SPACE),
    ("post", "/v1/spaces"): _SPACE | {"name": "next", "state": "filling"},
    ("post", "/v1/spaces/{name}/fill"): _JOB | {"kind": "fill", "source_id": None, "space_id": "2", "stage": "filling"},
    ("post", "/v1/spaces/{name}/use"): _SPACE,
    ("post", "/v1/embeddings"): {
        "object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.12, -0.03]}],
        "model": "starter", "usage": {"prompt_tokens": 2, "total_tokens": 2},
    },
    ("get", "/v1/models"): {"object": "list", "data": [_MODEL]},
    ("get", "/v1/models/{name}"): _MODEL,
    ("post", "/v1/rerank"): {
        "id": "5f3a9c0d12e4b687", "model": "starter", "results": [{"index": 1, "relevance_score": 0.78}],
        "usage": {"prompt_tokens": 6, "total_tokens": 6},
    },
    ("get", "/v1/keys"): _page(_KEY),
    ("post", "/v1/keys"): {"id": "1", "name": "laptop", "scopes": ["read"], "key": "medley_..."},
    ("get", "/v1/session"): _SESSION,
    ("post", "/v1/session"): _SESSION,
    ("delete", "/v1/session"): {"name": "anonymous", "scopes": [], "key_needed": True},
    ("post", "/predict"): {"clip": "[0.12, -0.03]", "imageHeight": 480, "imageWidth": 640},
    ("get", "/health/live"): {"status": "alive", "checks": {}},
    ("get", "/health/ready"): {"status": "ready", "checks": {"database": "ok", "space": "ok", "partitions": "ok"}},
}  # fmt: skip
