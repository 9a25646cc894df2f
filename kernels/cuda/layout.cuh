// Layout of keys, values and parameters in a GPU's memory. src/attention/cuda/params.rs holds the
// same structures; a test compares their sizes.
#pragma once
#include "kx.cuh"

// Tokens of the middle in one slab, a multiple of every tile. A slab holds all layers and heads of these tokens.
constexpr u32 SLAB = 256;
// Tokens of a tile, which a warp works on at a time.
constexpr u32 ROWS = 16;

// One KV head of one layer in every slab: keys `[SLAB][padded]`, values `[SLAB][head_dim]`; or, where `tile` is not 0, codes of
// both (coded.cuh). A dropped head has neither.
struct HeadLayout {
    u64 keys;       // bytes from the slab's start; of a coded head to its tiles
    u64 values;     // bytes from the slab's start; of a coded head to the scales of its keys
    u64 channels;   // address of the kept channels, u8[padded]: ascending, where coded by width; then zeros
    u32 kept;       // channels kept; 0 drops the head
    u32 padded;     // kept rounded up to a multiple of 8, where coded of 16; plain columns in between hold zeros
    u32 tile;       // bytes of a coded tile; 0: plain elements
    u32 tile_values;  // bytes from a coded tile's start to its values
    u16 widths[4];  // coded: channels of 16, 8, 4 and 2 bits
    u16 v_bits;     // coded: 16, 8, 4 or 2
    u16 v_group;    // coded: channels of a value that share a scale, a multiple of 16
    u32 group;      // coded: middle tokens of a K channel that share a scale, a multiple of 16
};

// One sequence. Its window, everything outside the middle, is `[layer][kv head][keys, values][sink + ring][head_dim]`: the sink
// first, then a ring in which position p lies at (p - sink) % ring. Nothing in it is ever moved.
struct SequenceState {
    u64 window;  // address
    u64 slabs;   // address of the slabs' addresses, u64 each
    u64 heads;   // address of HeadLayout[layers][kv_heads]
    u32 len;     // tokens, the current one included
    u32 middle;  // tokens of the middle: positions sink .. sink + middle
    u32 moved;   // how many of them, the last ones, are new in the middle with the current token
    u32 sink;    // slots of the sink
    u32 ring;    // slots of the ring
    u32 misfits; // not 0 once a key or value is stored as no finite number
};

// Query heads of one KV head of one sequence over rows first .. end of one part.
struct WorkItem {
    u32 sequence;
    u16 kv_head;
    u16 part;  // WINDOW or MIDDLE
    u32 first;
    u32 end;  // may be past the last token of the part; only the state knows how many there are
};
constexpr u16 WINDOW = 0, MIDDLE = 1;

struct DecodeParams {
    u64 q;          // T[sequences][kv_heads * group][head_dim], after RoPE
    u64 states;     // SequenceState[sequences]
    u64 items;      // WorkItem[]
    u64 count;      // u32: how many items there are
    u64 partials;   // f32: per item, group largest scores, group sums of weights, [group][head_dim] weighted values
    u32 layer;
    u32 kv_heads;
    u32 group;
    float scale;  // log2(e) / sqrt(head_dim)
};

// Rows of numbers.
struct Numbers {
    u64 address;  // 0: there are none
    u32 stride;   // numbers from row to row
    u32 type;
};
constexpr u32 F32_NUMBERS = 0, F16_NUMBERS = 1, BF16_NUMBERS = 2;

struct CombineParams {
    u64 partials;
    u64 ranges;   // u32[sequences * kv_heads + 1]: first item of each head
    Numbers out;  // [sequences][kv_heads * group * head_dim]
    u32 kv_heads;
    u32 group;
};

// What a product made of one token of each sequence: queries, keys or values.
struct Projection {
    Numbers rows;  // [sequences][heads * head_dim]
    u64 bias;      // f32[heads * head_dim] to be added, or 0
    u64 norm;      // f32[span]: weights of an RMS norm, or 0
    u32 span;      // channels that are normed together: a head's, or all
    u32 pad;
};

// Rotates queries and keys and appends keys and values.
struct AppendParams {
    Projection q, k, v;  // v has no norm
    u64 cos;             // f32[sequences][head_dim / 2]
    u64 sin;
    u64 out;             // T[sequences][kv_heads * group][head_dim]: rotated queries times `factor`
    u64 states;          // SequenceState[sequences], the new token counted; `misfits` is written
    u32 layer;
    u32 kv_heads;
    u32 group;
    u32 head_dim;
    float eps;
    float factor;
    u32 infinity;  // infinity in the element type: all bits of its exponent
    u32 pad;
};

struct BranchParams {
    u64 x;          // f32[rows][width]: the residual stream, read and written
    Numbers delta;  // [rows][width]: what a branch adds to it
    u64 bias;       // f32[width] to be added to `delta`, or 0
    u64 after;      // f32[width]: weights of the RMS norm of what is added, or 0
    u64 tokens;     // u32[rows]: x becomes these rows of `table` times `factor`; or 0
    Numbers table;  // [vocab][width]
    u64 before;     // f32[width]: weights of the RMS norm of x, or 0
    Numbers out;    // [rows][width]
    u32 width;
    float factor;   // of what is added
    float eps;
    u32 pad;
};

struct GateParams {
    Numbers gate;  // [rows][width]
    Numbers up;    // [rows][width]
    Numbers out;   // [rows][width]
    u64 bias;      // f32[2][width] to be added to gate and up, or 0
    u32 width;
    u32 activation;
};
constexpr u32 SILU = 0, GELU_TANH = 1;

// Fills one sequence from keys and values of all its tokens: those of a dense sequence, or of plain rows.
struct RebuildParams {
    u64 source;  // SequenceState of a dense sequence, or 0
    u64 k;       // without a source: T[tokens][kv_heads][head_dim] of the one layer
    u64 v;       // without a source: T[tokens][kv_heads][head_dim]
    u64 state;   // SequenceState to fill
    u32 layer;   // first layer; the grid counts on from it
    u32 kv_heads;
    u32 head_dim;
    u32 keep_middle;  // 1: the middle is in place already (a rewind)
    u32 infinity;     // infinity in the element type: all bits of its exponent
    u32 pad;
};

// Attention of consecutive tokens of a prompt. The token at position p sees the keys at positions p - window + 1 to p.
struct PrefillParams {
    u64 q;        // T[queries][kv_heads * group][head_dim], after RoPE
    u64 k;        // T[first + queries][kv_heads][head_dim], after RoPE
    u64 v;        // T[first + queries][kv_heads][head_dim]
    u64 out;      // T[queries][kv_heads * group][head_dim]
    u32 first;    // position of the first query's token
    u32 queries;  // tokens
    u32 kv_heads;
    u32 group;
    u32 window;   // keys that a token sees, its own included: 1 to 2^31 - 1
    float scale;  // log2(e) / sqrt(head_dim)
    float cap;    // log2(e) times the soft cap of scores; 0: none
    float steep;  // 2 log2(e) scale / cap
};

struct ActivityParams {
    u64 q;       // T[kv_heads * group][head_dim]
    u64 state;   // SequenceState
    u64 sums;    // f32[kv_heads][splits][head_dim]: sums of |k| over each split's tokens
    u64 out;     // f32[kv_heads][head_dim]
    u32 layer;
    u32 kv_heads;
    u32 group;
    u32 head_dim;
    u32 splits;
    u32 pad;
};

// The rows of one head's window, `head_dim` elements each: keys (0) or values (1).
KX_DEVICE u16* window_rows(const SequenceState& state, u32 layer, u32 kv_heads, u32 kv_head, u32 which, u32 head_dim) {
    u64 block = (u64)(layer * kv_heads + kv_head) * 2 + which;
    return (u16*)state.window + block * (state.sink + state.ring) * head_dim;
}

// The slot of a position in the window.
KX_DEVICE u32 window_slot(const SequenceState& state, u32 position) {
    return position < state.sink ? position : state.sink + (position - state.sink) % state.ring;
}

// The key row of a middle token, `padded` elements.
KX_DEVICE u16* middle_key(const SequenceState& state, const HeadLayout& head, u32 token) {
    u64 slab = ((const u64*)state.slabs)[token / SLAB];
    return (u16*)(slab + head.keys) + (u64)(token % SLAB) * head.padded;
}

// The value row of a middle token, `head_dim` elements.
KX_DEVICE u16* middle_value(const SequenceState& state, const HeadLayout& head, u32 token, u32 head_dim) {
    u64 slab = ((const u64*)state.slabs)[token / SLAB];
    return (u16*)(slab + head.values) + (u64)(token % SLAB) * head_dim;
}

KX_DEVICE const HeadLayout& head_layout(const SequenceState& state, u32 layer, u32 kv_heads, u32 kv_head) {
    return ((const HeadLayout*)state.heads)[layer * kv_heads + kv_head];
}
