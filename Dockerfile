# syntax=docker/dockerfile:1
# One image for workers and the dashboard. Slim, without root, every version pinned by constraints.txt.
#   docker build .                                   torch as pip finds it, for CUDA
#   docker build --build-arg TORCH_INDEX=URL .       torch from another index: PyTorch's for CPUs saves 6 GB
#   docker build --secret id=pip,src=FILE .          with a pip configuration of yours, which stays out of the image

FROM python:3.11.14-slim-bookworm AS build
ARG TORCH_INDEX
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/ablate
WORKDIR /src
COPY constraints.txt .
# torch alone from its index; what it needs comes with the rest, from where pip's configuration says.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/ablate/bin/pip install --constraint constraints.txt --no-deps ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
COPY pyproject.toml README.md LICENSE ./
COPY ablate ablate
COPY studies studies
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/ablate/bin/pip install --constraint constraints.txt .

FROM python:3.11.14-slim-bookworm
RUN useradd --uid 10001 --create-home ablate && install --directory --owner=ablate --mode=0700 /data
COPY --from=build /opt/ablate /opt/ablate
ENV PATH=/opt/ablate/bin:$PATH ABLATE_HOME=/data PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /home/ablate
VOLUME /data
ENTRYPOINT ["ablate"]
CMD ["--help"]
