# syntax=docker/dockerfile:1
# One image for workers and the dashboard. Slim, without root, every version pinned by constraints.txt.
#   docker build .                                                   torch for CUDA
#   docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .   torch for CPUs: 6 GB less

FROM python:3.11.14-slim-bookworm AS build
ARG TORCH_INDEX=https://pypi.org/simple
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/ablate
WORKDIR /src
COPY constraints.txt .
RUN /opt/ablate/bin/pip install --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple \
    --constraint constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY ablate ablate
COPY studies studies
RUN /opt/ablate/bin/pip install --constraint constraints.txt .

FROM python:3.11.14-slim-bookworm
RUN useradd --uid 10001 --create-home ablate && install --directory --owner=ablate --mode=0700 /data
COPY --from=build /opt/ablate /opt/ablate
ENV PATH=/opt/ablate/bin:$PATH ABLATE_HOME=/data PYTHONUNBUFFERED=1
USER ablate
WORKDIR /home/ablate
VOLUME /data
ENTRYPOINT ["ablate"]
CMD ["--help"]
