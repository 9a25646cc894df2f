//! Defects that are planted in copies of the kernels' sources, one in each.

/// A defect: its name, the file, the text to replace, which occurs once, and the replacement.
pub type Defect = (&'static str, &'static str, &'static str, &'static str);

/// All of them.
pub const DEFECTS: &[Defect] = &[
    // The stage is read before its copies have landed.
    (
        "no_wait",
        "decode.cuh",
        "kx_copies_wait<1>();\n            __syncwarp();\n            keys = own",
        "__syncwarp();\n            keys = own",
    ),
    // One group of copies too many may still be under way.
    (
        "late_wait",
        "decode.cuh",
        "kx_copies_wait<1>();\n            __syncwarp();\n            keys = own",
        "kx_copies_wait<2>();\n            __syncwarp();\n            keys = own",
    ),
    // Other lanes' copies may not have landed.
    (
        "no_syncwarp",
        "decode.cuh",
        "kx_copies_wait<1>();\n            __syncwarp();\n            keys = own",
        "kx_copies_wait<1>();\n            keys = own",
    ),
    // Warps read each other's parts before they are written.
    ("no_syncthreads", "decode.cuh", "    __syncthreads();\n\n    for (u32 i", "    for (u32 i"),
    // Only the threads of one warp reach the barrier.
    (
        "divergent_barrier",
        "decode.cuh",
        "    __syncthreads();\n\n    for (u32 i",
        "    if (warp == 0) __syncthreads();\n\n    for (u32 i",
    ),
    // Half of the warp does not reach the reduction.
    (
        "divergent_warp",
        "decode.cuh",
        "const float sum = sum_of_rows(total[octet][k]);",
        "const float sum = lane < 16 ? sum_of_rows(total[octet][k]) : 0.0f;",
    ),
    // The mask leaves out the upper half of the warp.
    (
        "short_mask",
        "decode.cuh",
        "fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 8))",
        "fmaxf(x, __shfl_xor_sync(0x0000ffffu, x, 8))",
    ),
    // Rows of the lower lanes only.
    ("short_reduction", "decode.cuh", "    x += __shfl_xor_sync(0xffffffffu, x, 8);\n", ""),
    // Two registers of a fragment are swapped.
    (
        "swapped_fragment",
        "decode.cuh",
        "kx_mma<T>(out[octet][step], a, p[octet]);",
        "{ const u32 s = a[1]; a[1] = a[2]; a[2] = s; } kx_mma<T>(out[octet][step], a, p[octet]);",
    ),
    // Both octets multiply the first one's queries.
    ("one_octet", "decode.cuh", "{b[2 * octet], b[2 * octet + 1]}", "{b[0], b[1]}"),
    // The queries lie where the last warp's tiles are.
    ("queries_overlap", "decode.cuh", "QUERIES = WARPS * WARP;", "QUERIES = (WARPS - 1) * WARP;"),
    // The sums of the second octet's weights are written over its largest scores.
    (
        "octet_sums_overlap",
        "decode.cuh",
        "part[PART + (OCTETS + octet) * HEADS + lane * 2 + k]",
        "part[PART + (1 + octet) * HEADS + lane * 2 + k]",
    ),
    // The second stage overlaps the next warp's first one.
    (
        "stage_overlap",
        "decode.cuh",
        "own + (turn + 1) % 2 * Shape::STAGE",
        "own + (turn + 1) % 2 * Shape::WARP",
    ),
    // The next item's copies overwrite what other warps still read.
    (
        "no_barrier_between_items",
        "decode.cuh",
        "decode_item<T, D, OCTETS, CODED>(params, index);\n        // The copies of the next item overwrite what other warps may still add up.\n        __syncthreads();",
        "decode_item<T, D, OCTETS, CODED>(params, index);",
    ),
    // A block takes one item only.
    ("one_item_a_block", "decode.cuh", "index += gridDim.x", "index = items"),
    // The warps' largest scores are read before they are written.
    (
        "no_barrier_before_largest",
        "decode.cuh",
        "if (lane == 0) largest[warp] = most;\n    __syncthreads();",
        "if (lane == 0) largest[warp] = most;",
    ),
    // The first team's sum is left out.
    (
        "team_left_out",
        "decode.cuh",
        "for (int t = 0; t < Shape::TEAMS",
        "for (int t = 1; t < Shape::TEAMS",
    ),
    // Teams' sums are read before they are written.
    (
        "no_barrier_in_combine",
        "decode.cuh",
        "    __syncthreads();\n    if (threadIdx.x < Shape::PAIRS)",
        "    if (threadIdx.x < Shape::PAIRS)",
    ),
    // One row too many is read and counted.
    ("row_too_many", "decode.cuh", "row + k / 2 * 8 < end ?", "row + k / 2 * 8 <= end ?"),
    // Rows of the middle that a plan lists and that do not exist yet are read.
    (
        "rows_to_come",
        "decode.cuh",
        "min(item.end, rows.middle ? state.middle : state.len - state.middle)",
        "item.end",
    ),
    // The data behind a key of an odd number of units is read as channels.
    ("stray_channels", "decode.cuh", "if (step * 16 + 8 >= rows.channels) a[2] = a[3] = 0;", ""),
    // The chunk is copied before the current token, which may be in it, is written.
    ("no_barrier_in_append", "store.cuh", "    __syncthreads();\n", ""),
    // The ring is one slot too short.
    (
        "short_ring",
        "layout.cuh",
        "(position - state.sink) % state.ring",
        "(position - state.sink) % (state.ring - 1)",
    ),
    // The padding of a key is not zeroed.
    (
        "dirty_padding",
        "store.cuh",
        "at < head.kept ? key[channels[at]] : (u16)0",
        "at < head.kept ? key[channels[at]] : (u16)0x7fc1",
    ),
    // Codes are read before their copies have landed.
    (
        "codes_no_wait",
        "decode.cuh",
        "                kx_copies_wait<0>();\n            } else {\n                kx_copies_wait<1>();\n",
        "            } else {\n",
    ),
    // Other lanes' codes may not have landed.
    (
        "codes_no_syncwarp",
        "decode.cuh",
        "            __syncwarp();\n            widen_tile<T, D>",
        "            widen_tile<T, D>",
    ),
    // The next codes may arrive, and the tile be read, before all lanes have widened theirs.
    (
        "codes_overwritten",
        "decode.cuh",
        "widen_tile<T, D>(own, stage, head, lane);\n            __syncwarp();",
        "widen_tile<T, D>(own, stage, head, lane);",
    ),
    // A tile of many bytes takes one stage of two.
    (
        "large_tile",
        "decode.cuh",
        "head.tile + scale_row(head) > Shape::CODES ? 1 : 2",
        "head.tile == 0 ? 1 : 2",
    ),
    // Scales are counted from the first channel, not from the first coded one.
    ("shifted_scales", "decode.cuh", "pairs[at - head.widths[0]]", "pairs[at]"),
    // All groups of a block of tokens read the first one's scales.
    (
        "first_group",
        "coded.cuh",
        "head.values + token % SLAB / head.group *",
        "head.values + token % SLAB / 64 * 64 / head.group *",
    ),
    // The scale is rounded to nearest, so that the largest number may lie past the last code.
    (
        "nearest_scale",
        "coded.cuh",
        "f16_up((high - kx_widen<F16>(minimum)) / (float)((1u << bits) - 1))",
        "(u16)kx_pack<F16>((high - kx_widen<F16>(minimum)) / (float)((1u << bits) - 1), 0.0f)",
    ),
    // Codes are cut off, not rounded.
    (
        "cut_codes",
        "coded.cuh",
        "rintf((x - scale.low) / scale.step)",
        "(float)(u32)((x - scale.low) / scale.step)",
    ),
    // The warps' sums are read before they are written.
    (
        "no_barrier_in_sum",
        "branch.cuh",
        "    __syncthreads();\n    float sum = 0.0f;",
        "    float sum = 0.0f;",
    ),
    // Both sums of a row use the same memory, which a slow warp may still read.
    (
        "sums_overlap",
        "branch.cuh",
        "block_sum(sum, room + BRANCH_THREADS / 32)",
        "block_sum(sum, room)",
    ),
    // The bias is left out of what is normed and added.
    ("bias_left_out", "branch.cuh", "delta[k] += bias[k];", "delta[k] += 0.0f * bias[k];"),
    // The factor of the residual stream is left out.
    ("factor_left_out", "branch.cuh", "x[k] += params.factor * delta[k];", "x[k] += delta[k];"),
    // Every row gets the first one's token.
    (
        "first_token",
        "branch.cuh",
        "((const u32*)params.tokens)[row]",
        "((const u32*)params.tokens)[0]",
    ),
    // Eight numbers are read at once from addresses that are no multiple of 16 bytes.
    (
        "unaligned",
        "branch.cuh",
        "if (aligned) branch_row<8>(params);",
        "if (aligned || params.width % 8 == 0) branch_row<8>(params);",
    ),
    // The bias of the gate is added to both factors.
    (
        "one_bias",
        "branch.cuh",
        "load_numbers<N>(of_up, params.bias, F32_NUMBERS, params.width + at);",
        "load_numbers<N>(of_up, params.bias, F32_NUMBERS, at);",
    ),
    // Only the first block's numbers are gated.
    ("short_gate", "branch.cuh", "at += gridDim.x * GATE_THREADS * N", "at += params.width"),
    // The row's sum is that of half of its numbers.
    (
        "short_sum",
        "branch.cuh",
        "for (u32 by = 16; by > 0; by /= 2) x +=",
        "for (u32 by = 8; by > 0; by /= 2) x +=",
    ),
    // The second channel of a pair is turned the other way.
    ("turned_back", "store.cuh", "x[1] = x[1] * c + x[0] * s;", "x[1] = x[1] * c - x[0] * s;"),
    // The first channel is turned before the second one has used it.
    (
        "turned_twice",
        "store.cuh",
        "turned = x[0] * c - x[1] * s;\n            x[1] = x[1] * c + x[0] * s;\n            x[0] = turned;",
        "turned = x[0] * c - x[1] * s;\n            x[0] = turned;\n            x[1] = x[1] * c + x[0] * s;",
    ),
    // A norm over all heads takes the weights of the first one.
    (
        "norm_of_first_head",
        "store.cuh",
        "((const float*)of.norm)[at - first]",
        "((const float*)of.norm)[at % d]",
    ),
    // All heads are normed by the first one's sum.
    ("sum_of_first_head", "store.cuh", "number(first + at)", "number(at)"),
    // Values are rotated, too.
    (
        "rotated_values",
        "store.cuh",
        "params.v, sequence, kv_head, nullptr, nullptr",
        "params.v, sequence, kv_head, cos, sin",
    ),
    // The last query head of a group is left out.
    ("head_left_out", "store.cuh", "if (of < group) {", "if (of + 1 < group || group == 1) {"),
    // Only the first group of a chunk is coded.
    ("one_group", "coded.cuh", "i < count / head.group * head.kept", "i < head.kept"),
    // A chunk sees no keys before its own.
    (
        "prefill_no_offset",
        "prefill.cuh",
        "seen = params.first + token + tokens",
        "seen = token + tokens",
    ),
    // A chunk's tokens take positions from 0 on.
    (
        "prefill_positions",
        "prefill.cuh",
        "lowest = params.first + token + mine",
        "lowest = token + mine",
    ),
    // A token sees the one after it.
    (
        "prefill_sees_next",
        "prefill.cuh",
        "position = lowest + part * 16",
        "position = lowest + 1 + part * 16",
    ),
    // A tile in which only the first row sees everything is not masked.
    ("prefill_unmasked", "prefill.cuh", "if (tile + KEYS > lowest + 1 ||", "if (tile > lowest ||"),
    // Sums are not brought to the new largest score.
    ("prefill_no_rescale", "prefill.cuh", "out[part][n][2 * k] *= rescale;", ""),
    // Totals are not.
    ("prefill_total_kept", "prefill.cuh", "total[part][k] * rescale + sum", "total[part][k] + sum"),
    // Query heads take the keys of another head.
    (
        "prefill_other_head",
        "prefill.cuh",
        "kv_head = head / params.group",
        "kv_head = head % params.kv_heads",
    ),
    // Keys are read before they have landed.
    (
        "prefill_keys_no_wait",
        "prefill.cuh",
        "the last tile's values.\n        kx_copies_wait<0>();",
        "the last tile's values.",
    ),
    // Values are read before they have landed.
    (
        "prefill_values_no_wait",
        "prefill.cuh",
        "is done with the keys.\n        kx_copies_wait<0>();",
        "is done with the keys.",
    ),
    // The next values overwrite those that other warps still read.
    (
        "prefill_values_overwritten",
        "prefill.cuh",
        "the last tile's values.\n        kx_copies_wait<0>();\n        __syncthreads();",
        "the last tile's values.\n        kx_copies_wait<0>();\n        __syncwarp();",
    ),
    // The next keys overwrite those that other warps still read.
    (
        "prefill_keys_overwritten",
        "prefill.cuh",
        "is done with the keys.\n        kx_copies_wait<0>();\n        __syncthreads();",
        "is done with the keys.\n        kx_copies_wait<0>();\n        __syncwarp();",
    ),
    // The last tile reads values past the last token.
    (
        "prefill_values_past_end",
        "prefill.cuh",
        "values + (u64)tile * stride, stride, seen - tile, threadIdx.x",
        "values + (u64)tile * stride, stride, KEYS, threadIdx.x",
    ),
    // The last tile reads keys past the last token.
    (
        "prefill_keys_past_end",
        "prefill.cuh",
        "stride, stride, seen - tile - KEYS, threadIdx.x",
        "stride, stride, KEYS, threadIdx.x",
    ),
    // The window has one key more.
    (
        "prefill_long_window",
        "prefill.cuh",
        "position - key >= params.window",
        "position - key > params.window",
    ),
    // A tile that only the last row's window leaves is not masked.
    (
        "prefill_window_unmasked",
        "prefill.cuh",
        "highest - min(tile, highest) >= params.window",
        "lowest - min(tile, lowest) >= params.window",
    ),
    // The first tile of a window is left out.
    (
        "prefill_window_late",
        "prefill.cuh",
        "tile = start / KEYS * KEYS",
        "tile = (start + KEYS - 1) / KEYS * KEYS",
    ),
    // A row whose window begins in a later tile takes the difference of two infinities.
    (
        "prefill_no_key_yet",
        "prefill.cuh",
        "risen == -KX_INFINITY ? 0.0f : risen * factor",
        "risen * factor",
    ),
    // Half of the cap's range.
    (
        "prefill_half_cap",
        "prefill.cuh",
        "params.cap - 2.0f * params.cap",
        "params.cap - params.cap",
    ),
    // Capped scores are scaled twice.
    (
        "prefill_scaled_twice",
        "prefill.cuh",
        "params.cap > 0.0f ? 1.0f : params.scale",
        "params.scale",
    ),
    // Two registers of the weights are swapped.
    (
        "prefill_swapped_weights",
        "prefill.cuh",
        "p[part][n / 2][n % 2 * 2 + k]",
        "p[part][n / 2][k * 2 + n % 2]",
    ),
    // Both parts of a warp multiply the first one's queries.
    ("prefill_one_part", "prefill.cuh", "own + (part * 16 + lane % 16)", "own + (lane % 16)"),
    // Half of a row's keys do not count for its largest score.
    (
        "prefill_short_largest",
        "prefill.cuh",
        "return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));",
        "return x;",
    ),
    // Half of them do not count for its total.
    (
        "prefill_short_total",
        "prefill.cuh",
        "return x + __shfl_xor_sync(0xffffffffu, x, 2);",
        "return x;",
    ),
    // The last keys lie where the first values are.
    (
        "prefill_stages_overlap",
        "prefill.cuh",
        "VALUE_STAGE = KEY_STAGE + KEYS * PITCH",
        "VALUE_STAGE = KEY_STAGE + (KEYS - 8) * PITCH",
    ),
    // Rows past the last token are written.
    ("prefill_rows_past_end", "prefill.cuh", "if (mine + row < tokens) ", ""),
    // Another lane's part of a result is written out before it is there.
    ("prefill_out_unfinished", "prefill.cuh", "    __syncwarp();\n    u16* to", "    u16* to"),
];

/// Copies with a defect in the attention of prompts have no kernels of decode attention.
pub fn is_of_prefill(defect: &Defect) -> bool {
    defect.1 == "prefill.cuh"
}
