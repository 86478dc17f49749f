# An image for a CUDA machine. The maintainers have not built it: no machine with Docker was at hand.
#
#   docker build -t reasoning-recipes .
#   docker run --gpus all --security-opt seccomp=unconfined -it reasoning-recipes make demo
#
# seccomp=unconfined lets the code reward make its sandbox (user namespaces).
FROM nvidia/cuda:13.0.0-devel-ubuntu24.04

RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        gcc git make python3 python3-dev python3-venv util-linux \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /reasoning-recipes
COPY . .
RUN make install \
    && .venv/bin/pip install --no-cache-dir --requirement requirements-gpu.txt

ENV PATH=/reasoning-recipes/.venv/bin:$PATH
CMD ["make", "help"]
