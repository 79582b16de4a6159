# Two images of one source:
#   docker build --target cpu -t vagus:cpu .
#   docker build --target cuda -t vagus:cuda .
# Where the package index has no torch==2.13.0+cpu, name PyTorch's index of CPU wheels with
# --build-arg TORCH_INDEX=…

FROM python:3.11-slim-bookworm AS wheels
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels ./clients/python .

FROM python:3.11-slim-bookworm AS base
# The engine compiles kernels when it starts: C++ on a CPU, launchers in C on a GPU.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ libnuma1 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 vagus \
 && useradd --uid 10001 --gid vagus --create-home vagus \
 && install --directory --owner=vagus --group=vagus /var/lib/vagus /var/cache/vagus
# Everything that is written goes to two folders and /tmp, so that the rest can be read-only.
ENV PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    XDG_CACHE_HOME=/var/cache/vagus \
    VLLM_CACHE_ROOT=/var/cache/vagus/vllm \
    TORCHINDUCTOR_CACHE_DIR=/var/cache/vagus/inductor \
    TRITON_CACHE_DIR=/var/cache/vagus/triton \
    HF_HUB_OFFLINE=1
EXPOSE 50051 9464
VOLUME ["/var/lib/vagus", "/var/cache/vagus"]
HEALTHCHECK --interval=10s --timeout=10s --start-period=10m --retries=3 CMD ["vagus", "health"]
# Plaintext: what reaches these ports has to be kept to those who may (docs/deploy.md).
ENTRYPOINT ["vagus-server", "serve", "--host", "0.0.0.0", "--metrics-host", "0.0.0.0", "--insecure"]
CMD ["--state", "/var/lib/vagus/state", "--log-format", "json"]

# With the bundled model, converted: it starts without a network.
FROM base AS cpu
ARG TORCH_INDEX=
COPY requirements/cpu.lock /tmp/cpu.lock
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-deps ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
      -r /tmp/cpu.lock /wheels/*.whl
ENV VAGUS_CACHE=/opt/vagus
RUN vagus-server prepare && chmod --recursive a+rX /opt/vagus
USER 10001:10001

# With a model and a pack of your own: mount them and add --model and --pack.
FROM base AS cuda
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --no-cache-dir /wheels/vagus-*.whl "$(echo /wheels/vagus_server-*.whl)[cuda]"
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
