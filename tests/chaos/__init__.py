"""Attacks on a whole Medley, larger than tests are: `make chaos`; results stand in docs/reliability.md."""
