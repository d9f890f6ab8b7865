"""Where things lie in a checkout."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEMO_MEDIA = ROOT / "demo" / "media"
SUPPORT = Path(__file__).resolve().parent
