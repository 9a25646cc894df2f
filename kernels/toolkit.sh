#!/usr/bin/env bash
# Puts the CUDA 13.0 compiler into target/cuda-toolkit, from Python wheels. It needs no GPU and no driver.
# The wheels are of one release, whose PTX a driver of CUDA 13.0 takes.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=target/cuda-toolkit/nvidia/cu13/bin
if [ -x $bin/nvcc ] && [ -x $bin/nvdisasm ]; then exit; fi
rm -rf target/cuda-toolkit
python3 -m pip install -q --root-user-action ignore --target target/cuda-toolkit \
    nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-cuda-runtime==13.0.96 \
    nvidia-cuda-cccl==13.0.85 nvidia-cuda-cuobjdump==13.5.37 nvidia-cuda-nvdisasm==13.5.37
