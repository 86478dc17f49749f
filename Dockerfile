# An image for a CUDA machine. The maintainers have not built it yet: treat it as a starting point.
#
#   docker build -t reasoning-recipes .
#   docker run --gpus all --security-opt seccomp=unconfined -it reasoning-recipes make demo
#
# seccomp=unconfined lets the reward `code` make its sandbox of user namespaces. The image has no .git,
# so manifests have no commit; mount the repository instead if you need one.
FROM nvidia/cuda:13.0.0-devel-ubuntu24.04

# gcc and Python's headers: Triton compiles kernels on a GPU. util-linux has `unshare`, for the sandbox.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        gcc git make python3 python3-dev python3-venv util-linux \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /reasoning-recipes
COPY . .

# requirements.txt into .venv, then what only a CUDA machine can use.
RUN make install \
    && .venv/bin/pip install --no-cache-dir --requirement requirements-gpu.txt

ENV PATH=/reasoning-recipes/.venv/bin:$PATH
CMD ["make", "help"]
