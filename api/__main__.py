"""`python -m api` is `medley`."""

from medley_search import main

main()
