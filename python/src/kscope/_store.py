"""Storage of one sequence's keys and values in one layer (torch)."""

import torch

BLOCK = 64
F16_MOST = 65504.0


def _toward(number, direction):
    """The next f16 from `number` in that direction."""
    return torch.nextafter(number, torch.full_like(number, direction))


def _down(number):
    nearest = number.to(torch.float16)
    return torch.where(nearest.float() <= number, nearest, _toward(nearest, float("-inf")))


def _up(number):
    nearest = number.to(torch.float16)
    return torch.where(nearest.float() >= number, nearest, _toward(nearest, float("inf")))


def encode(numbers, bits):
    """Codes groups along the last axis: (codes uint8, scale f16, minimum f16).

    The minimum is rounded down and the scale up, so that no number is off by more than half a scale.
    """
    numbers = numbers.float()
    if not bool(torch.isfinite(numbers).all()) or float(numbers.abs().max()) > F16_MOST:
        raise ValueError("keys or values beyond ±65,504 have no f16 scale: use a mask instead of a plan")
    low, high = numbers.amin(-1, keepdim=True), numbers.amax(-1, keepdim=True)
    most = float((1 << bits) - 1)
    constant = low == high
    minimum = torch.where(constant, low.to(torch.float16), _down(low))
    scale = torch.where(constant, torch.zeros_like(minimum), _up((high - minimum.float()) / most))
    step = torch.where(scale == 0, torch.ones_like(low), scale.float())
    codes = torch.where(scale == 0, 0.0, ((numbers - minimum.float()) / step).round().clamp(0, most))
    return codes.to(torch.uint8), scale.squeeze(-1), minimum.squeeze(-1)


def pack(codes, bits):
    """Packs codes along the last axis into whole bytes, the first code in the lowest bits."""
    per = 8 // bits
    if per == 1:
        return codes
    short = -codes.shape[-1] % per
    if short:
        codes = torch.nn.functional.pad(codes, (0, short))
    codes = codes.unflatten(-1, (-1, per))
    packed = codes[..., 0].clone()
    for place in range(1, per):
        packed |= codes[..., place] << (bits * place)
    return packed


def unpack(packed, bits, count):
    """The first `count` codes of rows that `pack` wrote."""
    per = 8 // bits
    if per == 1:
        return packed[..., :count]
    shifts = torch.arange(per, device=packed.device, dtype=torch.uint8) * bits
    codes = (packed.unsqueeze(-1) >> shifts) & ((1 << bits) - 1)
    return codes.flatten(-2)[..., :count]


class Growing:
    """Rows that grow by blocks of 64 along the first axis."""

    def __init__(self, row, dtype, device):
        self.rows = torch.empty((0, *row), dtype=dtype, device=device)

    def write(self, at, rows):
        """Puts rows at index `at`, in more memory where needed."""
        end = at + len(rows)
        if end > len(self.rows):
            # An eighth more than needed, in whole blocks: appending stays cheap and little is idle.
            size = -(-(end + end // 8) // BLOCK) * BLOCK
            more = torch.empty((size, *self.rows.shape[1:]), dtype=self.rows.dtype, device=self.rows.device)
            more[:at] = self.rows[:at]
            self.rows = more
        self.rows[at:end] = rows

    def clone(self):
        other = object.__new__(Growing)
        other.rows = self.rows.clone()
        return other

    @property
    def nbytes(self):
        return self.rows.nbytes


class HeadMiddle:
    """The middle of one KV head: kept channels at the cache's type, codes of the others, V."""

    def __init__(self, k_bits, v_bits, k_group, v_group, dtype, device):
        """`k_bits` is a list of head_dim widths."""
        self.head_dim, self.v_bits, self.k_group, self.v_group = len(k_bits), v_bits, k_group, v_group
        self.dtype = dtype
        self.channels = {
            bits: torch.tensor([c for c, width in enumerate(k_bits) if width == bits], device=device)
            for bits in (16, 8, 4, 2)
        }
        self.channels = {bits: at for bits, at in self.channels.items() if len(at)}
        self.order = torch.cat(list(self.channels.values())) if self.channels else torch.tensor([], dtype=torch.long)
        self.keys, self.scales = {}, {}
        for bits, at in self.channels.items():
            if bits == 16:
                self.keys[bits] = Growing((len(at),), dtype, device)
            else:
                # Codes lie in blocks of `pack_tokens` tokens, which are whole bytes.
                self.keys[bits] = Growing((len(at), self.pack_tokens(bits) * bits // 8), torch.uint8, device)
                self.scales[bits] = Growing((len(at), 2), torch.float16, device)
        self.values = self.v_scales = None
        if v_bits == 16:
            self.values = Growing((self.head_dim,), dtype, device)
        elif v_bits:
            self.values = Growing((-(-self.head_dim * v_bits // 8),), torch.uint8, device)
            self.v_scales = Growing((self.head_dim // v_group, 2), torch.float16, device)

    def pack_tokens(self, bits):
        """Tokens of a channel that are packed together: a group, or as many as fill a byte."""
        return max(self.k_group, 8 // bits)

    def clone(self):
        other = object.__new__(HeadMiddle)
        other.__dict__.update(self.__dict__)
        other.keys = {bits: rows.clone() for bits, rows in self.keys.items()}
        other.scales = {bits: rows.clone() for bits, rows in self.scales.items()}
        other.values = self.values and self.values.clone()
        other.v_scales = self.v_scales and self.v_scales.clone()
        return other

    def append(self, at, keys, values):
        """Takes tokens `at ..` of the middle: keys and values [tokens, head_dim], whole groups."""
        for bits, channels in self.channels.items():
            rows = keys[:, channels]
            if bits == 16:
                self.keys[bits].write(at, rows)
                continue
            groups = rows.T.unflatten(-1, (-1, self.k_group))
            codes, scale, minimum = encode(groups, bits)
            self.scales[bits].write(at // self.k_group, torch.stack([scale, minimum], -1).transpose(0, 1))
            codes, size = codes.flatten(-2), self.pack_tokens(bits)
            start = at // size
            if at % size:
                # The last byte of this channel has room for more tokens.
                before = unpack(self.keys[bits].rows[start], bits, at % size)
                codes = torch.cat([before, codes], -1)
            codes = torch.nn.functional.pad(codes, (0, -codes.shape[-1] % size))
            packed = pack(codes.unflatten(-1, (-1, size)), bits)
            self.keys[bits].write(start, packed.transpose(0, 1))
        if self.v_bits == 16:
            self.values.write(at, values)
        elif self.v_bits:
            codes, scale, minimum = encode(values.unflatten(-1, (-1, self.v_group)), self.v_bits)
            self.values.write(at, pack(codes.flatten(-2), self.v_bits))
            self.v_scales.write(at, torch.stack([scale, minimum], -1))

    def read_keys(self, tokens):
        """Stored keys [tokens, channels], f32, in the order of `order`."""
        parts = []
        for bits, channels in self.channels.items():
            if bits == 16:
                parts.append(self.keys[bits].rows[:tokens].float())
                continue
            blocks = -(-tokens // self.pack_tokens(bits))
            codes = unpack(self.keys[bits].rows[:blocks], bits, self.pack_tokens(bits))
            codes = codes.transpose(1, 2).flatten(0, 1)[:tokens]
            scales = self.scales[bits].rows[: tokens // self.k_group].float()
            codes = codes.unflatten(0, (-1, self.k_group)).float()
            numbers = scales[:, None, :, 0] * codes + scales[:, None, :, 1]
            parts.append(numbers.flatten(0, 1))
        return torch.cat(parts, -1)

    def read_values(self, tokens):
        """Stored values [tokens, head_dim], f32."""
        if self.v_bits == 16:
            return self.values.rows[:tokens].float()
        codes = unpack(self.values.rows[:tokens], self.v_bits, self.head_dim)
        scales = self.v_scales.rows[:tokens].float()
        codes = codes.unflatten(-1, (-1, self.v_group)).float()
        return (scales[..., :1] * codes + scales[..., 1:]).flatten(-2)

    @property
    def allocated(self):
        every = [*self.keys.values(), *self.scales.values(), self.values, self.v_scales]
        return sum(rows.nbytes for rows in every if rows is not None)

    def stored(self, tokens):
        """Bytes of `tokens` tokens: what their tensors hold, without free space."""
        element = torch.empty((), dtype=self.dtype).element_size()
        bits = sum(len(at) * (8 * element if width == 16 else width) for width, at in self.channels.items())
        total = -(-tokens * bits // 8)
        total += sum(tokens // self.k_group * rows.rows[:1].numel() * 2 for rows in self.scales.values() if len(rows.rows))
        for rows in (self.values, self.v_scales):
            if rows is not None and tokens:
                total += tokens * rows.rows[0].nbytes
        return total


class Row:
    """One sequence in one layer: sink and recent tokens whole, the middle by head."""

    def __init__(self, plan, layer, dtype, device):
        self.plan, self.dtype = plan, dtype
        _, heads, head_dim = plan.mask.shape
        self.pad = 0
        self.tokens = self.in_middle = 0
        self.window = torch.empty((2, heads, 0, head_dim), dtype=dtype, device=device)
        self.heads = [
            HeadMiddle(
                plan.k_bits[layer, head].tolist(),
                int(plan.v_bits[layer, head]),
                plan.k_group,
                plan.v_group_of(head_dim),
                dtype,
                device,
            )
            for head in range(heads)
        ]

    def clone(self):
        other = object.__new__(Row)
        other.__dict__.update(self.__dict__)
        other.window = self.window.clone()
        other.heads = [head.clone() for head in self.heads]
        return other

    def append(self, keys, values):
        """Takes new tokens [kv_heads, tokens, head_dim]; chunks that leave the window move."""
        new = torch.stack([keys, values]).to(self.dtype)
        if self.dtype == torch.float16 and not bool(torch.isfinite(new).all()):
            raise ValueError("keys or values beyond ±65,504 do not fit a cache of f16: use bfloat16 or float32")
        held, count = self.tokens - self.in_middle, new.shape[2]
        self.tokens += count
        moved = self.plan.middle(self.tokens) - self.in_middle
        need = held + count
        if moved:
            sink = self.plan.sink
            whole = torch.cat([self.window[:, :, :held], new], 2)
            leaving = whole[:, :, sink : sink + moved]
            for head, middle in enumerate(self.heads):
                middle.append(self.in_middle, leaving[0, head], leaving[1, head])
            self.in_middle += moved
            stays = torch.cat([whole[:, :, :sink], whole[:, :, sink + moved :]], 2)
            self._fit(stays.shape[2], 0)
            self.window[:, :, : stays.shape[2]] = stays
        else:
            self._fit(need, held)
            self.window[:, :, held:need] = new

    def _fit(self, tokens, held):
        """Room for `tokens` whole tokens, of which the first `held` are there."""
        if tokens <= self.window.shape[2]:
            return
        most = self.plan.sink + self.plan.recent + self.plan.chunk
        size = min(-(-tokens // BLOCK) * BLOCK, max(most, tokens))
        more = torch.empty(
            (*self.window.shape[:2], size, self.window.shape[3]), dtype=self.dtype, device=self.window.device
        )
        more[:, :, :held] = self.window[:, :, :held]
        self.window = more

    def attend(self, query, scaling):
        """One query [heads, head_dim] over everything that is stored: [heads, head_dim], f32."""
        kv_heads = len(self.heads)
        groups = query.float().unflatten(0, (kv_heads, -1))
        held = self.tokens - self.in_middle
        keys, values = self.window[:, :, :held].float()
        scores = groups @ keys.transpose(1, 2) * scaling
        out = torch.empty_like(groups)
        for head, middle in enumerate(self.heads):
            mine, value = scores[head], values[head]
            if self.in_middle and middle.channels:
                part = groups[head][:, middle.order] @ middle.read_keys(self.in_middle).T * scaling
                mine = torch.cat([mine, part], -1)
                value = torch.cat([value, middle.read_values(self.in_middle)], 0)
            out[head] = mine.softmax(-1) @ value
        return out.flatten(0, 1)

    def crop(self, length):
        """Keeps the first `length` tokens, padding included."""
        tokens, self.pad = max(length - self.pad, 0), min(self.pad, length)
        if tokens >= self.tokens:
            return
        sink, middle = self.plan.sink, self.plan.middle(tokens)
        # Tokens of the middle that go back into the window are `middle .. back`.
        back = min(self.in_middle, tokens - sink)
        if middle < back:
            if self.plan.prunes:
                raise ValueError(
                    f"cropping from {self.tokens} to {tokens} tokens needs keys whose channels are no longer stored: "
                    f"the middle now ends at {sink + self.in_middle} and would end at {sink + middle}"
                )
            rows = torch.stack(
                [
                    torch.stack([self._whole_keys(head, middle, back), head.values.rows[middle:back]])
                    for head in self.heads
                ],
                1,
            )
            held = self.tokens - self.in_middle
            window = torch.cat([self.window[:, :, :sink], rows, self.window[:, :, sink:held]], 2)
            self.window = window[:, :, : tokens - middle].clone()
        self.tokens, self.in_middle = tokens, middle

    def _whole_keys(self, head, start, end):
        keys = torch.empty((end - start, head.head_dim), dtype=self.dtype, device=self.window.device)
        keys[:, head.order] = head.keys[16].rows[start:end]
        return keys

    @property
    def allocated(self):
        return self.window.nbytes + sum(head.allocated for head in self.heads)

    @property
    def stored(self):
        whole = (self.tokens - self.in_middle) * self.window[:, :, :1].nbytes if self.window.shape[2] else 0
        return whole + sum(head.stored(self.in_middle) for head in self.heads)
