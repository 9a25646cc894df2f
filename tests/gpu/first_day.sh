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
# say what to do with the results. Whole outputs are in the folder NAME.steps beside NAME.json.
#
# DEADLINE=1500 begins no step after so many seconds and cuts the last one there. STEPS='selftest
# attention_*' runs those alone, by the names that the file has, and adds them to those of earlier runs
# of the same program in that folder: what there was no time for.
set -uo pipefail
program=$(realpath "${1:?the kscope program}")
result=$(realpath -m "${2:?the JSON file to write}")
sizes=${SIZES:-full}
# The steps run in another folder.
LD_LIBRARY_PATH=$(python3 -c 'import os; print(":".join(os.path.abspath(p) for p in os.environ.get("LD_LIBRARY_PATH", "").split(":") if p))')
export LD_LIBRARY_PATH
work=${result%.json}.steps
mkdir -p "$work"
cd "$work" || exit 1
# Steps of another program would be read as this one's.
of="$(sha256sum "$program" | cut -c1-16) $sizes"
if [ -e program ] && [ "$(cat program)" != "$of" ]; then
    echo "$work holds the steps of another program or of other sizes: remove it, or name another file" >&2
    exit 2
fi
echo "$of" >program
deadline=${DEADLINE:-86400}
only=${STEPS:-*}
set -f # Patterns of steps are none of files.
touch order
: >late
known=()
current=

# Whoever ends the script ends its step too, and keeps what was done.
stopped() {
    local running
    running=$(jobs -pr)
    if [ -n "$running" ]; then
        # shellcheck disable=SC2086
        kill $running 2>/dev/null
        wait
        echo 143 >"$current.rc"
        echo 0 >"$current.seconds"
    fi
    python3 report.py "$result" "$sizes"
    exit 143
}
trap stopped TERM INT

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
    known+=("$name")
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
    grep -qx "$name" order || echo "$name" >>order
    rm -f "$name.rc"
    began=$(date +%s.%N)
    # What ignores the end of its time is killed: it may hang in the driver.
    current=$name
    timeout -k 10 "$limit" "$@" >"$name.out" 2>"$name.err" &
    wait $!
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
    failures = [line for line in out.splitlines() if line.startswith("FAILED")]
    try:
        out = json.loads(out)
    except ValueError:
        out = out[:300] + (" ... " + out[-1700:] if len(out) > 2000 else out[300:])
    steps[name] = {"status": int(read(".rc")), "seconds": float(read(".seconds")), "result": out, "errors": read(".err")[-2000:]}
    if failures:
        steps[name]["failures"] = failures
for name in ["sdpa", "memcheck", "racecheck"]:
    if name not in steps:
        missing.append(name)

def rows(name):
    result = steps.get(name, {}).get("result")
    return result.get("rows", []) if isinstance(result, dict) else []

decisions = []
CUT = (124, 137)
status = steps["selftest"]["status"] if "selftest" in steps else None
right = {None: None, 0: True, **{cut: None for cut in CUT}}.get(status, False)
if status is None:
    decisions.append("selftest was not run: trust no number below")
elif status in CUT:
    decisions.append("selftest was cut at its time limit: what it had not reached is not known to be right")
elif not right:
    blocking = steps.get("selftest_blocking", {}).get("status")
    kind = {0: "and passes when launches block: an error of order", None: "and was not run with launches that block: an error of order or of arithmetic"}
    said = "and its run with launches that block was cut: an error of order or of arithmetic" if blocking in CUT else "also when launches block: an error of arithmetic or layout"
    decisions.append(f"selftest fails ({len(steps['selftest'].get('failures', []))} cases, listed under its step), {kind.get(blocking, said)}; trust no number below")
first = steps.get("attention_batch", {}).get("result")
gpus = [of.get("gpu") for of in (step["result"] for step in steps.values()) if isinstance(of, dict) and of.get("gpu")]
gpus += [row["device"] for name in steps for row in rows(name) if "device" in row]
gpu = gpus[0] if gpus else None
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
    not_recorded = (result_of.get("gpu_steps") or result_of).get("not_recorded")
    if not_recorded:
        decisions.append(f"{name}: steps were not recorded ({not_recorded}): its times hold the host's launches")
    if result_of.get("failed"):
        decisions.append(f"{name}: ended by {result_of['failed']}: what came after on this GPU says nothing")
    for of in result_of.get("not_measured", []):
        decisions.append(f"{name}: {of['batch']} x {of['tokens']} was not measured: {of['why']}")
# What a part of a step costs: the step less the step without it, dense and pruned.
costs = {}
for part in ["logits", "attention"]:
    for whole, less in zip(rows("decode_batch"), rows(f"decode_batch_without_{part}")):
        costs[f"{part}_ms {whole['plan']}"] = whole["median_ms"] - less["median_ms"]
# Dense attention of a layer beside PyTorch's, at the same shape.
against = []
for torch in rows("sdpa"):
    for name in ["attention_batch", "attention_single"]:
        for row in rows(name):
            if (row["batch"], row["tokens"]) == (torch["batch"], torch["tokens"]):
                ratio = row["dense_ms"] / 32 / torch["ms_per_layer"]
                against.append({"batch": row["batch"], "tokens": row["tokens"], "time_of_sdpa": ratio})
                if ratio > 1.1:
                    decisions.append(f"dense attention of {row['batch']} x {row['tokens']} takes {ratio:.2f} of PyTorch's time: mend that before any ratio to dense is quoted")
failed = [name for name, step in steps.items() if step["status"] != 0]
report = {"gpu": gpu, "sizes": sizes, "right": right, "copy_gbps": copy, "failed": failed, "not_run": missing, "no_time_for": pathlib.Path("late").read_text().split(), "best": best, "costs": costs, "against_sdpa": against, "decisions": decisions, "steps": steps}
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

# 1. Is it right? What fails only without CUDA_LAUNCH_BLOCKING is an error of order: the same cases again.
cases=()
[ "$sizes" = small ] && cases=(--filter "$filter")
step selftest "$program" selftest --device cuda "${cases[@]}"
if [ -e selftest.rc ] && [ "$(cat selftest.rc)" = 1 ]; then
    CUDA_LAUNCH_BLOCKING=1 step selftest_blocking "$program" selftest --device cuda "${cases[@]}"
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

# A cache of 8 bits, and weights in blocks, whose products are candle's. The driver for CPUs has none of
# those, so the rehearsal leaves them out.
step decode_codes "$program" bench decode --device cuda "${model[@]}" --plan k8v8 --sparsity 0.7 --batch 1 --depth "${single%%,*}" \
    --steps "$steps" --kv-dtype bf16 --sink 6 --recent "${RECENT:-250}" --chunk "${CHUNK:-128}" --json
if [ "$sizes" != small ]; then
    for batch in 1 16; do
        step "decode_q4k_$batch" "$program" bench decode --device cuda --random-weights llama-3.1-8b --weights q4_k "${counts[@]}" \
            --sparsity 0.7 --batch "$batch" --depth 8192 --steps "$steps" --kv-dtype bf16 --json
    done
fi

# A prompt alone: `ttft_ms` is the time to its first token, cuBLAS's start included; what the driver
# compiles once is compiled by the steps before.
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
    # As many layers as no cache of the GPU holds.
    one = lambda: torch.ones(batch, 8, tokens, 128, dtype=torch.bfloat16, device="cuda")
    layers = [(one(), one()) for _ in range(max(1, (1 << 30) // (4 * batch * 8 * tokens * 128)))]
    times = []
    for at in range(12):
        k, v = layers[at % len(layers)]
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        f.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    rows.append({"batch": batch, "tokens": tokens, "ms_per_layer": statistics.median(times[1:])})
    del q, k, v, layers
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
status=$?
for pattern in $only; do
    is_known=
    for name in "${known[@]}"; do
        # shellcheck disable=SC2053
        [[ $name == $pattern ]] && is_known=1
    done
    [ -n "$is_known" ] || { echo "STEPS: no step is called $pattern; there are ${known[*]}" >&2; status=2; }
done
exit "$status"
