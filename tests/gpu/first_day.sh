#!/usr/bin/env bash
# The first half hour on a GPU: is everything right, what is it worth, and which settings are best.
# Needs the stripped program (`cargo xtask cuda`, `strip`), Python, and the CUDA 13 wheels of cuBLAS
# and cuRAND on LD_LIBRARY_PATH. compute-sanitizer and PyTorch are used where they are.
#
#     tests/gpu/first_day.sh ./kscope first_day.json
#     SIZES=small LD_LIBRARY_PATH=target/driver tests/gpu/first_day.sh target-cuda/release/kscope out.json
#
# The second line rehearses it on a CPU, over kernels/driver. Every step has a time limit and may
# fail; the file says which did. The steps are in the order of what they are worth, and the file is
# written anew after each, so that whoever is interrupted has what was done. `decisions` in the file
# say what to do with the results.
#
# DEADLINE=1500 begins no step after so many seconds and cuts the last one there. STEPS='selftest
# attention_*' runs those alone, by the names that the file has: what an earlier run had no time for.
set -uo pipefail
program=$(realpath "${1:?the kscope program}")
result=$(realpath -m "${2:?the JSON file to write}")
sizes=${SIZES:-full}
# The steps run in another folder.
LD_LIBRARY_PATH=$(python3 -c 'import os; print(":".join(os.path.abspath(p) for p in os.environ.get("LD_LIBRARY_PATH", "").split(":") if p))')
export LD_LIBRARY_PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
deadline=${DEADLINE:-86400}
only=${STEPS:-*}
set -f # Patterns of steps are none of files.
touch order late

if [ "$sizes" = small ]; then
    batches=2 wide=256 depths=256,320 model=(--model demo) counts=() whole=(2 64) single=64 steps=3
    sweep_waves="2 4" sweep_bytes="16384" filter="f16 d 64 group 3 x" longest=300 prompts="40 300"
else
    batches=64 wide=32768 depths=8192,16384,32768,65536,131072 counts=(--counts llama)
    model=(--random-weights llama-3.1-8b --dtype bf16)
    whole=(52 4096) single=8192,32768 steps=32
    sweep_waves="1 2 4 8" sweep_bytes="16384 32768 65536 131072" filter="f16 d 128" longest=420
    prompts="2048 8192 32768"
fi

# Runs a step: its name, then the command. Output, errors, status and seconds go to files, and all
# steps so far to the result.
step() {
    local name=$1 limit=$longest left pattern is_wanted= began
    shift
    for pattern in $only; do
        # shellcheck disable=SC2053
        [[ $name == $pattern ]] && is_wanted=1
    done
    [ -n "$is_wanted" ] || return 0
    left=$((deadline - SECONDS))
    if [ "$left" -lt 2 ]; then
        echo "$name" >>late
        return 0
    fi
    [ "$left" -lt "$limit" ] && limit=$left
    echo "$name" >>order
    began=$(date +%s.%N)
    # What ignores the end of its time is killed: it may hang in the driver.
    timeout -k 10 "$limit" "$@" >"$name.out" 2>"$name.err"
    echo "$?" >"$name.rc"
    python3 -c "import sys,time; print(time.time() - float(sys.argv[1]))" "$began" >"$name.seconds"
    echo "$name: status $(cat "$name.rc") after $(cut -c1-5 "$name.seconds") s" >&2
    python3 report.py "$result" "$sizes" >/dev/null
}

cat >report.py <<'P'
import json, os, pathlib, sys

result, sizes = sys.argv[1:]
steps, missing = {}, []
for name in pathlib.Path("order").read_text().split():
    if not pathlib.Path(name + ".rc").exists():
        continue
    read = lambda end: pathlib.Path(name + end).read_text(errors="replace").strip()
    out = read(".out")
    try:
        out = json.loads(out)
    except ValueError:
        out = out[-2000:]
    steps[name] = {"status": int(read(".rc")), "seconds": float(read(".seconds")), "result": out, "errors": read(".err")[-2000:]}
for name in ["sdpa", "memcheck", "racecheck"]:
    if name not in steps:
        missing.append(name)

def rows(name):
    result = steps.get(name, {}).get("result")
    return result.get("rows", []) if isinstance(result, dict) else []

decisions = []
right = steps["selftest"]["status"] == 0 if "selftest" in steps else None
if right is None:
    decisions.append("selftest was not run: trust no number below")
elif not right:
    blocking = steps.get("selftest_blocking", {}).get("status")
    decisions.append("selftest fails" + (", and passes when launches block: an error of order" if blocking == 0 else ", also when launches block: an error of arithmetic or layout") + "; trust no number below")
first = steps.get("attention_batch", {}).get("result")
gpu = first.get("gpu") if isinstance(first, dict) else None
copy = first.get("copy_gbps") if isinstance(first, dict) else None
least = {"H100": 2700, "H200": 3900}
for name, wanted in least.items():
    if gpu and copy and name in gpu and copy < wanted:
        decisions.append(f"copies run at {copy:.0f} GB/s, below {wanted} of an {name}: distrust this machine")
for name in ["attention_batch", "attention_single"]:
    for row in rows(name):
        if row["dense_ms"] / row["pruned_ms"] > row["byte_ratio"] * 1.02:
            decisions.append(f"{name}: the time ratio at {row['batch']} x {row['tokens']} is above the byte ratio: suspect the slab tables")
best = {}
for kind in ["single", "batch"]:
    swept = [(sum(row["pruned_ms"] for row in rows(name)), name) for name in steps if name.startswith(f"sweep_{kind}_") and rows(name)]
    usual = f"sweep_{kind}_4_32768"
    if swept:
        fastest, name = min(swept)
        best[kind] = {"setting": name, "pruned_ms": fastest}
        now = sum(row["pruned_ms"] for row in rows(usual))
        if now and fastest < 0.97 * now:
            decisions.append(f"{name} takes {fastest / now:.2f} of the usual setting's time: change the default")
for name, step in steps.items():
    result_of = step["result"] if isinstance(step["result"], dict) else {}
    made = result_of.get("gpu_steps") or {}
    if made.get("not_recorded"):
        decisions.append(f"{name}: steps were not recorded ({made['not_recorded']}): its times hold the host's launches")
    for of in result_of.get("not_measured", []):
        decisions.append(f"{name}: {of['batch']} x {of['tokens']} was not measured: {of['why']}")
failed = [name for name, step in steps.items() if step["status"] != 0]
report = {"gpu": gpu, "sizes": sizes, "right": right, "copy_gbps": copy, "failed": failed, "not_run": missing, "no_time_for": pathlib.Path("late").read_text().split(), "best": best, "decisions": decisions, "steps": steps}
new = pathlib.Path(result + ".new")
new.write_text(json.dumps(report, indent=1) + "\n")
os.replace(new, result)
print(f"{gpu}: {len(steps)} steps, {len(failed)} failed; {result}")
for decision in decisions:
    print("-", decision)
sys.exit(1 if failed else 0)
P

attention() { # name batch tokens
    step "$1" "$program" bench attention --device cuda --batch "$2" --tokens "$3" --json
}

decode() { # name batch depths
    step "$1" "$program" bench decode --device cuda "${model[@]}" "${counts[@]}" --sparsity 0.7 --batch "$2" \
        --depth "$3" --steps "$steps" --kv-dtype bf16 --sink 6 --recent "${RECENT:-250}" --chunk "${CHUNK:-128}" --json
}

# 1. Is it right? What fails only without CUDA_LAUNCH_BLOCKING is an error of order.
if [ "$sizes" = small ]; then
    step selftest "$program" selftest --device cuda --filter "$filter"
else
    step selftest "$program" selftest --device cuda
fi
if [ -e selftest.rc ] && [ "$(cat selftest.rc)" != 0 ]; then
    CUDA_LAUNCH_BLOCKING=1 step selftest_blocking "$program" selftest --device cuda --filter "$filter"
fi

# 2. What is attention worth: the authors' setting, and one sequence.
attention attention_batch "$batches" "$wide"
attention attention_single 1 "$depths"

# 3. What is a whole step worth, and where does the time go?
decode decode_single 1 "$single"
decode decode_batch "${whole[0]}" "${whole[1]}"
for without in logits attention logits,attention; do
    KSCOPE_CUDA_WITHOUT=$without decode "decode_batch_without_${without/,/_}" "${whole[0]}" "${whole[1]}"
done

# A prompt alone: `ttft_ms` is the time to its first token.
for tokens in $prompts; do
    ids=$(python3 -c "import sys; print(','.join(str(3 + at % 200) for at in range(int(sys.argv[1]))))" "$tokens")
    step "prompt_$tokens" "$program" run --device cuda "${model[@]}" --token-ids "$ids" --max-new 1 --kv-dtype bf16 --json
done

# 4. The same shapes in PyTorch, dense.
cat >sdpa.py <<'P'
import json, statistics, sys, torch
import torch.nn.functional as f
rows = []
for batch, tokens in [tuple(map(int, pair.split("x"))) for pair in sys.argv[1:]]:
    q = torch.ones(batch, 32, 1, 128, dtype=torch.bfloat16, device="cuda")
    k, v = (torch.ones(batch, 8, tokens, 128, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    times = []
    for _ in range(12):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        f.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    rows.append({"batch": batch, "tokens": tokens, "ms_per_layer": statistics.median(times[1:])})
    del q, k, v
print(json.dumps({"torch": torch.__version__, "rows": rows}))
P
if python3 -c "import torch; assert torch.cuda.is_available()" 2>torch.err; then
    shapes=("${batches}x$wide")
    for tokens in ${depths//,/ }; do shapes+=("1x$tokens"); done
    step sdpa python3 sdpa.py "${shapes[@]}"
fi

# 5. Which settings are best? One sequence and many.
for waves in $sweep_waves; do
    for bytes in $sweep_bytes; do
        export KSCOPE_CUDA_WAVES=$waves KSCOPE_CUDA_LEAST_BYTES=$bytes
        attention "sweep_single_${waves}_${bytes}" 1 "${depths%%,*}"
        attention "sweep_batch_${waves}_${bytes}" "$batches" "$wide"
        unset KSCOPE_CUDA_WAVES KSCOPE_CUDA_LEAST_BYTES
    done
done

# 6. Races and bounds, on a part: these tools are slow.
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck; do
        step "$tool" compute-sanitizer --tool "$tool" --error-exitcode 9 "$program" selftest --device cuda --filter "$filter"
    done
fi

python3 report.py "$result" "$sizes"
