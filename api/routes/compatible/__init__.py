"""The shapes of other services, so that their clients work against Medley as they are."""

from api.routes.compatible import cohere, immich, openai, rerank

ROUTES = (*openai.ROUTES, *rerank.ROUTES, *cohere.ROUTES, *immich.ROUTES)
