#!/bin/bash
# Records the story of the demo as docs/tour.kscope, and takes pictures of it meanwhile for docs/tour.gif.
#   docs/screens/tour.sh [PYTHON]     needs tmux, Python with Pillow, and fonts-dejavu-core
# `kscope replay docs/tour.kscope` plays the recording.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${1:-python3} socket=kscope-tour-$$ columns=100 rows=30
work=$(mktemp -d)
trap 'tmux -L $socket kill-server 2>/dev/null || true; rm -rf "$work"' EXIT
cargo build --release --quiet

frame=0
look() { # MILLISECONDS: a frame that is shown so long
    frame=$((frame + 1))
    tmux -L $socket capture-pane -e -N -p -t s | "$python" docs/screens/pane2png.py \
        "$work/$(printf '%03d' $frame)-$1.png" $columns $rows
}
film() { # FRAMES: two a second, as they come
    for _ in $(seq "$1"); do look 500; sleep 0.4; done
}
keys() { for key in "$@"; do tmux -L $socket send-keys -t s "$key"; sleep 0.3; done; }

tmux -L $socket -f /dev/null new-session -d -s s -x $columns -y $rows \
    "env COLORTERM=truecolor LANG=C.UTF-8 XDG_CONFIG_HOME=$work XDG_STATE_HOME=$work target/release/kscope \
     --max-new 90 --record docs/tour.kscope --force"
for _ in $(seq 100); do
    tmux -L $socket capture-pane -p -t s | head -1 | grep -q 'tok/s' && break
    sleep 0.1
done
keys F2; film 8; look 3000
keys Enter; film 8; look 3000
keys Enter; film 4; look 2500
keys Enter; film 6; look 3000
keys Enter 1 5; film 2; look 2000
keys q
"$python" - "$work" docs/tour.gif <<'PY'
import pathlib, sys
from PIL import Image
paths = sorted(pathlib.Path(sys.argv[1]).glob("*.png"))
frames = [Image.open(path).convert("P", palette=Image.Palette.ADAPTIVE, colors=48) for path in paths]
times = [int(path.stem.split("-")[1]) for path in paths]
frames[0].save(sys.argv[2], save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=True)
print(sys.argv[2], len(frames), "frames", pathlib.Path(sys.argv[2]).stat().st_size, "bytes")
PY
ls -l docs/tour.kscope
