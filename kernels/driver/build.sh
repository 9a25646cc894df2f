#!/usr/bin/env bash
# Builds the driver that runs on a processor into a folder, under the names by which the program looks for NVIDIA's libraries:
#     kernels/driver/build.sh target/driver
#     LD_LIBRARY_PATH=target/driver target-cuda/release/kscope selftest --device cuda
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?the folder to build into}
mkdir -p "$out"
c++ -std=c++17 -O2 -march=native -fPIC -shared -fvisibility=hidden -fno-strict-aliasing -Wno-sign-compare -Wno-unused-function -Wno-unknown-pragmas \
    -DKX_SIM -DKX_VARIANT=kscope '-DKX_VARIANTS(X)=X(kscope)' -I "$here/../cuda" -I "$here/../sim" \
    "$here"/{driver,launch,memory,state}.cpp "$here/../sim/sim.cpp" "$here/../sim/variant.cpp" -o "$out/libcuda.so.1"
for name in libcublas.so.13 libcurand.so.10; do ln -sf libcuda.so.1 "$out/$name"; done
echo "$out"
