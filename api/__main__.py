"""`python -m api` is `medley`: how a process starts another one of itself without looking for scripts."""

from api.cli import main

main()
