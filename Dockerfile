# CPU:  docker build -t vip5 .
# CUDA: docker build -t vip5:cuda --build-arg TORCH=cuda .
# Run:  docker run --rm --shm-size=2g -v "$PWD/runs:/home/vip5/runs" vip5 run encoder-ablation --seeds 3
#       docker run --rm --gpus all --shm-size=8g -v "$PWD/runs:/home/vip5/runs" vip5:cuda run …
#
# PyTorch's wheels for CUDA bring CUDA with them; the host needs NVIDIA's driver and container toolkit only.
FROM python:3.11-slim AS build
ARG TORCH=cpu
WORKDIR /source
RUN python -m venv /opt/vip5
COPY constraints.txt .
# First what changes least. Of PyTorch's wheels for CPUs, which have an index of their own, none brings NVIDIA's packages.
RUN [ "$TORCH" = cpu ] && set -- --extra-index-url https://download.pytorch.org/whl/cpu; \
    /opt/vip5/bin/pip install --no-cache-dir -c constraints.txt "$@" torch torchvision
COPY . .
RUN /opt/vip5/bin/pip install --no-cache-dir -c constraints.txt ".[server]"

FROM python:3.11-slim
# Pillow and PyTorch bring their libraries; Ray's dashboard needs procps to list processes.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 procps && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/vip5 /opt/vip5
ENV PATH=/opt/vip5/bin:$PATH
RUN useradd --create-home vip5 && install --directory --owner=vip5 /home/vip5/runs
USER vip5
WORKDIR /home/vip5
EXPOSE 5000
ENTRYPOINT ["vip5"]
CMD ["run", "--list"]
