#!/bin/bash
# Makes the pictures in this folder from the running program: tmux is the terminal, pane2png.py the camera.
#   docs/screens/make.sh [PYTHON] ['PART ...']     needs tmux, Python with Pillow, fonts-dejavu-core, and `kscope fetch smollm2-135m`
# Extra arguments for SmolLM2, such as a mask, come in SMOLLM2_ARGS.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${1:-python3} here=docs/screens socket=kscope-screens-$$
# A home of its own, so that no settings but these count; the models stay where they are.
home=$(mktemp -d)
trap 'tmux -L $socket kill-server 2>/dev/null || true; rm -rf "$home"' EXIT
mkdir "$home/kscope"
echo 'story = false' > "$home/kscope/config.toml"
cargo build --release --quiet

open() { # COLUMNS ROWS ARGUMENTS: starts the program and waits for its first tokens
    columns=$1 rows=$2; shift 2
    tmux -L $socket kill-server 2>/dev/null || true; sleep 0.3
    tmux -L $socket -f /dev/null new-session -d -s s -x "$columns" -y "$rows" \
        "env COLORTERM=truecolor LANG=C.UTF-8 XDG_CONFIG_HOME=$home XDG_STATE_HOME=$home target/release/kscope $*"
    for _ in $(seq 600); do
        tmux -L $socket capture-pane -p -t s | head -1 | grep -q 'tok/s' && break
        sleep 0.1
    done
    sleep 3
}
keys() { for key in "$@"; do tmux -L $socket send-keys -t s "$key"; sleep 0.4; done; }
shoot() { # NAME
    sleep 0.6
    tmux -L $socket capture-pane -e -N -p -t s | "$python" $here/pane2png.py "$here/$1.png" "$columns" "$rows"
    echo "$here/$1.png"
}

tour() { # NAME ARGUMENTS
    name=$1; shift
    open 120 40 "$@"
    shoot "$name-map"
    keys c; shoot "$name-importance"
    keys c c c; shoot "$name-live"
    keys j Enter; shoot "$name-layer"
    keys Enter; shoot "$name-head"
    # The token that suffered most.
    keys 3 W Enter; sleep 1; shoot "$name-ab"
    keys 4
    # With the points of a sweep where that takes seconds.
    [ "$name" != demo ] || { sleep 2; keys s; sleep 12; }
    shoot "$name-tune"
    keys 5; shoot "$name-perf"
    keys 7; shoot "$name-text"
    # The same for every model that is open.
    [ "$name" != demo ] || { keys 8 m; shoot demo-plan; }
    # Help begins with the keys of the screen below it.
    keys 1 '?'; shoot "$name-help"
    keys Escape q
    open 200 60 "$@"; shoot "$name-map-200"; keys q
    open 80 24 "$@"; shoot "$name-map-80"; keys q
}

# Masks of the demo model from the screen, with a short check: one by the paper's method at work, with a
# small pool, and one by the sensitivity at its end.
learning() {
    open 120 40
    keys 6 j ']' j j j j '[' '[' '[' j j j '[' '[' '[' '[' '[' s
    for _ in $(seq 600); do
        tmux -L $socket capture-pane -p -t s | grep -q 'update  *1[0-9][0-9] of 250' && break
        sleep 0.1
    done
    shoot demo-learn; keys x; sleep 1; keys q
    open 120 40
    keys 6 j j j j j j j '[' '[' '[' '[' '[' s
    for _ in $(seq 600); do
        tmux -L $socket capture-pane -p -t s | grep -q 'held-out check ──' && break
        sleep 0.5
    done
    shoot demo-learned; keys q
    rm -rf learned.safetensors learned.learning
}

# A short evaluation of the demo model, at its end.
evaluation() {
    open 120 40 --mask masks/demo.safetensors
    keys 9; shoot demo-eval-form
    keys s
    for _ in $(seq 1800); do
        tmux -L $socket capture-pane -p -t s | grep -q '^ done ──' && break
        sleep 0.5
    done
    shoot demo-eval; keys q
}

# A mask of every rule and the plans of other programs, over the same sampled steps.
bench() {
    open 120 40 --temperature 1
    keys 0 a A; sleep 1; keys s; sleep 20
    shoot demo-bench; keys q
}

for part in ${2:-demo bench learning evaluation smollm2}; do
    case $part in
        demo) tour demo ;;
        smollm2) tour smollm2 --model smollm2-135m ${SMOLLM2_ARGS:-} ;;
        bench | learning | evaluation) $part ;;
        *) echo "$part: not a part" >&2; exit 2 ;;
    esac
done
