"""A typed client of Medley: `Medley`, and `AsyncMedley` with the same methods to be awaited."""

from medley_client.asynchronous import AsyncMedley
from medley_client.client import Medley
from medley_client.errors import MedleyError, Problem
from medley_client.models import (
    Answer,
    Asset,
    AssetDetails,
    Citation,
    Contrast,
    Difference,
    Estimate,
    Evaluation,
    EvaluationReport,
    Filters,
    Hit,
    Job,
    Moment,
    SearchResult,
    Segment,
    Source,
    Status,
    TuningOutcome,
    Upload,
)

__all__ = [
    "Answer",
    "Asset",
    "AssetDetails",
    "AsyncMedley",
    "Citation",
    "Contrast",
    "Difference",
    "Estimate",
    "Evaluation",
    "EvaluationReport",
    "Filters",
    "Hit",
    "Job",
    "Medley",
    "MedleyError",
    "Moment",
    "Problem",
    "SearchResult",
    "Segment",
    "Source",
    "Status",
    "TuningOutcome",
    "Upload",
]
