"""Pages, memos and questions made by rule: what the reader learns from, and what answers are measured with."""
