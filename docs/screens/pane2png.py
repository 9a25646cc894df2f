#!/usr/bin/env python3
"""Turn a captured terminal pane into a picture, to look at what a person sees.

tmux capture-pane -e -p -t SESSION | pane2png.py OUT.png [COLUMNS ROWS]
Needs Pillow (pip install pillow) and DejaVu Sans Mono (apt-get install fonts-dejavu-core). Reads SGR colours (16, 256, truecolor),
bold, dim, underline and reverse; block and half-block characters are drawn as exact rectangles."""
import re, sys, unicodedata
from PIL import Image, ImageDraw, ImageFont

W, H = 9, 18
FG, BG = (220, 220, 220), (16, 16, 20)
BASE = [(0, 0, 0), (205, 49, 49), (13, 188, 121), (229, 229, 16), (36, 114, 200), (188, 63, 188), (17, 168, 205), (229, 229, 229),
        (102, 102, 102), (241, 76, 76), (35, 209, 139), (245, 245, 67), (59, 142, 234), (214, 112, 214), (41, 184, 219), (255, 255, 255)]

def indexed(n):
    if n < 16: return BASE[n]
    if n < 232:
        n -= 16
        return tuple(0 if v == 0 else 55 + 40 * v for v in (n // 36, n // 6 % 6, n % 6))
    return (8 + 10 * (n - 232),) * 3

def colour(params):
    """Takes the parameters after 38 or 48; returns the colour."""
    return indexed(params.pop(0)) if params.pop(0) == 5 else tuple(params.pop(0) for _ in range(3))

def apply(state, text):
    params = [int(p or 0) for p in text.replace(":", ";").split(";")]
    while params:
        p = params.pop(0)
        if p == 0: state.update(fg=None, bg=None, bold=False, dim=False, line=False, rev=False)
        elif p in (1, 2, 4, 7): state[{1: "bold", 2: "dim", 4: "line", 7: "rev"}[p]] = True
        elif p == 22: state.update(bold=False, dim=False)
        elif p == 24: state["line"] = False
        elif p == 27: state["rev"] = False
        elif p in (38, 48): state["fg" if p == 38 else "bg"] = colour(params)
        elif p in (39, 49): state["fg" if p == 39 else "bg"] = None
        elif 30 <= p <= 37 or 90 <= p <= 97: state["fg"] = indexed(p - 30 if p < 90 else p - 82)
        elif 40 <= p <= 47 or 100 <= p <= 107: state["bg"] = indexed(p - 40 if p < 100 else p - 92)

def blocks(ch):
    """Rectangles (x0, y0, x1, y1) in cell fractions for block characters."""
    n = ord(ch)
    if ch == "▀": return [(0, 0, 1, .5)]
    if 0x2581 <= n <= 0x2588: return [(0, 1 - (n - 0x2580) / 8, 1, 1)]
    if 0x2589 <= n <= 0x258F: return [(0, 0, (0x2590 - n) / 8, 1)]
    if ch == "▐": return [(.5, 0, 1, 1)]
    if 0x2800 < n <= 0x28FF:  # braille: dots 1-3 and 7 left, 4-6 and 8 right
        rows = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
        return [(side / 2 + .1, row / 4 + .04, side / 2 + .4, row / 4 + .21)
                for row, pair in enumerate(rows) for side, bit in enumerate(pair) if (n - 0x2800) & bit]
    return None

def main(out, columns=0, rows=0):
    lines = sys.stdin.buffer.read().decode("utf-8", "replace").rstrip("\n").split("\n")
    state = dict(fg=None, bg=None, bold=False, dim=False, line=False, rev=False)
    cells = []
    for y, line in enumerate(lines):
        x = 0
        for sgr, _, ch in re.findall(r"\x1b\[([0-9;:]*)m|(\x1b\[[0-9;?]*[A-Za-z]|\x1b.)|(.)", line):
            if ch:
                wide = 2 if unicodedata.east_asian_width(ch) in "WF" else 1
                cells.append((x, y, ch, wide, dict(state))); x += wide
            elif not _: apply(state, sgr)
        columns = max(columns, x)
    image = Image.new("RGB", (W * columns, H * max(rows, len(lines))), BG); draw = ImageDraw.Draw(image)
    fonts = [ImageFont.truetype(f"/usr/share/fonts/truetype/dejavu/DejaVuSansMono{b}.ttf", 15) for b in ("", "-Bold")]
    for x, y, ch, wide, s in cells:
        fg, bg = s["fg"] or FG, s["bg"] or BG
        if s["rev"]: fg, bg = bg, fg
        if s["dim"]: fg = tuple((a + b) // 2 for a, b in zip(fg, bg))
        X, Y = x * W, y * H
        draw.rectangle((X, Y, X + W * wide - 1, Y + H - 1), fill=bg)
        rects = blocks(ch)
        if rects:
            for a, b, c, d in rects: draw.rectangle((X + round(a * W), Y + round(b * H), X + round(c * W) - 1, Y + round(d * H) - 1), fill=fg)
        elif ch != " ": draw.text((X, Y), ch, font=fonts[s["bold"]], fill=fg)
        if s["line"]: draw.line((X, Y + H - 2, X + W * wide - 1, Y + H - 2), fill=fg)
    image.save(out)

if __name__ == "__main__": main(sys.argv[1], *map(int, sys.argv[2:4]))
