"""`medley spaces`, and what measures and tunes them: `medley eval`, `medley judgements`."""
