"""What people say of results, how spaces do by that, and what they learn from it."""

from api.routes.feedback import evaluations, judgements, tunings

ROUTES = (*judgements.ROUTES, *evaluations.ROUTES, *tunings.ROUTES)
