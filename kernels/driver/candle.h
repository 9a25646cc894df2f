// candle's CUDA kernels and cuBLAS's matrix product as plain loops, only those that kscope uses.
// Signatures are those of candle-kernels 0.11.1. Half types are widened to f32 for arithmetic, like
// the kernels' accumulators.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

namespace candle {

typedef std::function<void()> Work;

// Ends the program where a range is not inside one live allocation.
void live(const void* start, size_t bytes, const char* what);

struct Half {
    _Float16 x;
    Half() = default;
    Half(float value) : x((_Float16)value) {}
    operator float() const { return (float)x; }
};

struct Brain {
    uint16_t bits;
    Brain() = default;
    Brain(float value) {
        uint32_t wide;
        memcpy(&wide, &value, 4);
        // Rounds to nearest, ties to even; NaN stays NaN.
        bits = std::isnan(value) ? 0x7fc0 : (uint16_t)((wide + 0x7fff + (wide >> 16 & 1)) >> 16);
    }
    operator float() const {
        const uint32_t wide = (uint32_t)bits << 16;
        float value;
        memcpy(&value, &wide, 4);
        return value;
    }
};

template <class T>
T param(void** params, int at) {
    T value;
    memcpy(&value, params[at], sizeof(T));
    return value;
}

inline bool is_contiguous(size_t rank, const size_t* dims, const size_t* strides) {
    size_t expected = 1;
    for (size_t at = rank; at-- > 0;) {
        if (dims[at] > 1 && strides[at] != expected) return false;
        expected *= dims[at];
    }
    return true;
}

// The offset of element `index` of a shape.
inline size_t strided(size_t index, size_t rank, const size_t* dims, const size_t* strides) {
    size_t at = 0;
    for (size_t dim = rank; dim-- > 0;) {
        at += index % dims[dim] * strides[dim];
        index /= dims[dim];
    }
    return at;
}

inline size_t place(size_t index, size_t rank, const size_t* dims, const size_t* strides) {
    return dims ? strided(index, rank, dims, strides) : index;
}

// Kernels by the part of their name that comes before the types.
template <class S, class T, class F>
Work unary(void** params, F f) {
    const size_t count = param<size_t>(params, 0), rank = param<size_t>(params, 1);
    const size_t* info = param<const size_t*>(params, 2);
    const S* in = param<const S*>(params, 3);
    T* out = param<T*>(params, 4);
    return [=] {
        if (info) live(info, 2 * rank * sizeof *info, "a shape");
        live(out, count * sizeof(T), "a result");
        for (size_t i = 0; i < count; i++) {
            const S* from = in + place(i, rank, info, info + rank);
            if (i == 0 || i + 1 == count) live(from, sizeof(S), "an operand");
            out[i] = f(*from);
        }
    };
}

template <class T, class O, class F>
Work binary(void** params, F f) {
    const size_t count = param<size_t>(params, 0), rank = param<size_t>(params, 1);
    const size_t* info = param<const size_t*>(params, 2);
    const T *left = param<const T*>(params, 3), *right = param<const T*>(params, 4);
    O* out = param<O*>(params, 5);
    return [=] {
        if (info) live(info, 3 * rank * sizeof *info, "a shape");
        live(out, count * sizeof(O), "a result");
        for (size_t i = 0; i < count; i++) {
            const T *x = left + place(i, rank, info, info + rank), *y = right + place(i, rank, info, info + 2 * rank);
            if (i == 0 || i + 1 == count) live(x, sizeof(T), "an operand"), live(y, sizeof(T), "an operand");
            out[i] = f(*x, *y);
        }
    };
}

template <class T>
Work affine(void** params) {
    const T mul = param<T>(params, 5), add = param<T>(params, 6);
    return unary<T, T>(params, [=](float x) { return T(x * (float)mul + (float)add); });
}

template <class T>
Work copy2d(void** params) {
    const T* from = param<const T*>(params, 0);
    T* to = param<T*>(params, 1);
    const uint32_t rows = param<uint32_t>(params, 2), width = param<uint32_t>(params, 3);
    const uint32_t from_stride = param<uint32_t>(params, 4), to_stride = param<uint32_t>(params, 5);
    return [=] {
        for (size_t row = 0; row < rows; row++) {
            live(from + row * from_stride, width * sizeof(T), "a copy's source");
            live(to + row * to_stride, width * sizeof(T), "a copy's target");
            memcpy(to + row * to_stride, from + row * from_stride, width * sizeof(T));
        }
    };
}

template <class T>
Work const_set(void** params) {
    const size_t count = param<size_t>(params, 0), rank = param<size_t>(params, 1);
    const size_t* info = param<const size_t*>(params, 2);
    const T value = param<T>(params, 3);
    T* out = param<T*>(params, 4);
    return [=] {
        for (size_t i = 0; i < count; i++) out[place(i, rank, info, info + rank)] = value;
    };
}

template <class T, class I>
Work index_select(void** params) {
    const size_t count = param<size_t>(params, 0), rank = param<size_t>(params, 1);
    const size_t* info = param<const size_t*>(params, 2);
    const I* ids = param<const I*>(params, 3);
    const T* in = param<const T*>(params, 4);
    T* out = param<T*>(params, 5);
    const size_t source = param<size_t>(params, 7), chosen = param<size_t>(params, 8), right = param<size_t>(params, 9);
    return [=] {
        live(ids, chosen * sizeof(I), "indices");
        live(out, count * sizeof(T), "a result");
        for (size_t i = 0; i < count; i++) {
            const size_t from = (i / (chosen * right) * source + ids[i / right % chosen]) * right + i % right;
            // The shape may be that of the indices, which are contiguous.
            out[i] = in[is_contiguous(rank, info, info + rank) ? from : strided(from, rank, info, info + rank)];
        }
    };
}

template <class T>
Work rms_norm(void** params, unsigned rows) {
    const T* in = param<const T*>(params, 0);
    T* out = param<T*>(params, 1);
    const T* weight = param<const T*>(params, 2);
    const int width = param<int>(params, 3);
    const float eps = param<float>(params, 5);
    return [=] {
        live(in, (size_t)rows * width * sizeof(T), "rows to normalise");
        live(out, (size_t)rows * width * sizeof(T), "a result");
        live(weight, width * sizeof(T), "a norm's weights");
        for (size_t row = 0; row < rows; row++) {
            float sum = 0.0f;
            for (int c = 0; c < width; c++) sum += (float)in[row * width + c] * (float)in[row * width + c];
            const float scale = 1.0f / std::sqrt(sum / width + eps);
            for (int c = 0; c < width; c++) out[row * width + c] = T(scale * (float)in[row * width + c] * (float)weight[c]);
        }
    };
}

template <class T>
Work rope(void** params) {
    const T *in = param<const T*>(params, 0), *cos = param<const T*>(params, 1), *sin = param<const T*>(params, 2);
    T* out = param<T*>(params, 3);
    const uint32_t bh = param<uint32_t>(params, 4), td = param<uint32_t>(params, 5), d = param<uint32_t>(params, 6), stride = param<uint32_t>(params, 7);
    return [=] {
        live(in, (size_t)bh * td * sizeof(T), "rows to rotate");
        live(out, (size_t)bh * td * sizeof(T), "a result");
        for (size_t i = 0; 2 * i < (size_t)bh * td; i++) {
            const size_t of = i / (td / 2), rest = i % (td / 2), t = rest / (d / 2), c = rest % (d / 2);
            const size_t first = of * td + t * d + c, second = first + d / 2;
            const size_t angle = t * (d / 2) + c + (stride ? 2 * i / stride * (td / 2) : 0);
            const float x = in[first], y = in[second], co = cos[angle], si = sin[angle];
            out[first] = T(x * co - y * si);
            out[second] = T(x * si + y * co);
        }
    };
}

template <class T, class F>
Work reduce(void** params, bool small, float start, F f) {
    const size_t count = param<size_t>(params, 0), width = param<size_t>(params, 1), rank = param<size_t>(params, 2);
    const size_t* info = param<const size_t*>(params, 3);
    const T* in = param<const T*>(params, 4);
    T* out = param<T*>(params, 5);
    return [=] {
        const size_t results = small ? count : count / width;
        live(info, 2 * rank * sizeof *info, "a shape");
        live(out, results * sizeof(T), "a result");
        for (size_t i = 0; i < results; i++) {
            float all = start;
            for (size_t k = 0; k < width; k++) all = f(all, (float)in[strided(i * width + k, rank, info, info + rank)]);
            out[i] = T(all);
        }
    };
}

template <class T, class I>
Work where(void** params) {
    const size_t count = param<size_t>(params, 0), rank = param<size_t>(params, 1);
    const size_t* info = param<const size_t*>(params, 2);
    const I* ids = param<const I*>(params, 3);
    const T *yes = param<const T*>(params, 4), *no = param<const T*>(params, 5);
    T* out = param<T*>(params, 6);
    return [=] {
        live(info, 4 * rank * sizeof *info, "a shape");
        live(out, count * sizeof(T), "a result");
        for (size_t i = 0; i < count; i++) {
            const bool is = ids[strided(i, rank, info, info + rank)];
            out[i] = is ? yes[strided(i, rank, info, info + 2 * rank)] : no[strided(i, rank, info, info + 3 * rank)];
        }
    };
}

template <class T>
Work typed(const std::string& op, void** params, unsigned grid) {
    if (op == "ucopy") return unary<T, T>(params, [](T x) { return x; });
    if (op == "uneg") return unary<T, T>(params, [](float x) { return T(-x); });
    if (op == "uexp") return unary<T, T>(params, [](float x) { return T(std::exp(x)); });
    if (op == "ulog") return unary<T, T>(params, [](float x) { return T(std::log(x)); });
    if (op == "usqr") return unary<T, T>(params, [](float x) { return T(x * x); });
    if (op == "usqrt") return unary<T, T>(params, [](float x) { return T(std::sqrt(x)); });
    if (op == "urecip") return unary<T, T>(params, [](float x) { return T(1.0f / x); });
    if (op == "usilu") return unary<T, T>(params, [](float x) { return T(x / (1.0f + std::exp(-x))); });
    if (op == "usigmoid") return unary<T, T>(params, [](float x) { return T(1.0f / (1.0f + std::exp(-x))); });
    if (op == "badd") return binary<T, T>(params, [](float x, float y) { return T(x + y); });
    if (op == "bsub") return binary<T, T>(params, [](float x, float y) { return T(x - y); });
    if (op == "bmul") return binary<T, T>(params, [](float x, float y) { return T(x * y); });
    if (op == "bdiv") return binary<T, T>(params, [](float x, float y) { return T(x / y); });
    if (op == "bmaximum") return binary<T, T>(params, [](float x, float y) { return T(std::fmax(x, y)); });
    if (op == "bminimum") return binary<T, T>(params, [](float x, float y) { return T(std::fmin(x, y)); });
    if (op == "affine") return affine<T>(params);
    if (op == "copy2d") return copy2d<T>(params);
    if (op == "const_set") return const_set<T>(params);
    if (op == "is_u32") return index_select<T, uint32_t>(params);
    if (op == "rmsnorm") return rms_norm<T>(params, grid);
    if (op == "rope") return rope<T>(params);
    if (op == "where_u8") return where<T, uint8_t>(params);
    if (op == "fast_sum" || op == "fast_sum_small") return reduce<T>(params, op != "fast_sum", 0.0f, [](float all, float x) { return all + x; });
    if (op == "fast_max") return reduce<T>(params, false, -INFINITY, [](float all, float x) { return std::fmax(all, x); });
    return {};
}

template <class S>
Work cast_from(const std::string& to, void** params) {
    if (to == "f32") return unary<S, float>(params, [](S x) { return (float)x; });
    if (to == "f16") return unary<S, Half>(params, [](S x) { return Half((float)x); });
    if (to == "bf16") return unary<S, Brain>(params, [](S x) { return Brain((float)x); });
    return {};
}

inline Work dispatch(const std::string& name, void** params, unsigned grid) {
    const size_t cut = name.rfind('_');
    if (cut == std::string::npos) return {};
    const std::string type = name.substr(cut + 1), op = name.substr(0, cut);
    if (op.rfind("cast_", 0) == 0) {
        const std::string from = op.substr(5);
        if (from == "f32") return cast_from<float>(type, params);
        if (from == "f16") return cast_from<Half>(type, params);
        if (from == "bf16") return cast_from<Brain>(type, params);
        if (from == "u8") return cast_from<uint8_t>(type, params);
        if (from == "u32") return cast_from<uint32_t>(type, params);
        return {};
    }
    if (type == "f32") return typed<float>(op, params, grid);
    if (type == "f16") return typed<Half>(op, params, grid);
    if (type == "bf16") return typed<Brain>(op, params, grid);
    if (op == "copy2d" && type == "u32") return copy2d<uint32_t>(params);
    if (op == "const_set" && type == "u8") return const_set<uint8_t>(params);
    if (op == "copy2d" && type == "u8") return copy2d<uint8_t>(params);
    if (op == "ucopy" && type == "u8") return unary<uint8_t, uint8_t>(params, [](uint8_t x) { return x; });
    return {};
}

// Whether a kernel of this name is implemented here.
inline bool knows(const std::string& name) {
    static uint64_t zeros[4] = {};
    static void* params[16];
    for (void*& param : params) param = zeros;
    return (bool)dispatch(name, params, 0);
}

inline Work launch(const std::string& name, void** params, unsigned grid, unsigned) { return dispatch(name, params, grid); }

// C = alpha A B + beta C, column-major, for every batch.
struct Product {
    bool transpose_a, transpose_b;
    int m, n, k;
    float alpha, beta;
    const void *a, *b;
    void* c;
    // Whether f32 factors are rounded to 11 bits.
    bool tf32;
    // Element types of the factors and of the product, 0: f32, 2: f16, 14: bf16.
    int type, c_type, lda, ldb, ldc;
    long long stride_a, stride_b, stride_c;
    int batch;
};

inline float rounded(float x, bool tf32) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (tf32) bits = (bits + 0x1000) & ~0x1fffu;
    memcpy(&x, &bits, 4);
    return x;
}

template <class T, class C>
void multiply_as(const Product& p) {
    std::vector<float> left((size_t)p.m * p.k), right((size_t)p.k * p.n);
    for (int batch = 0; batch < p.batch; batch++) {
        const T *a = (const T*)p.a + batch * p.stride_a, *b = (const T*)p.b + batch * p.stride_b;
        C* c = (C*)p.c + batch * p.stride_c;
        live(a, ((size_t)(p.transpose_a ? p.m - 1 : p.k - 1) * p.lda + (p.transpose_a ? p.k : p.m)) * sizeof(T), "a product's first factor");
        live(b, ((size_t)(p.transpose_b ? p.k - 1 : p.n - 1) * p.ldb + (p.transpose_b ? p.n : p.k)) * sizeof(T), "a product's second factor");
        live(c, ((size_t)(p.n - 1) * p.ldc + p.m) * sizeof(C), "a product");
        // Rows of A and columns of B, each contiguous.
        for (int i = 0; i < p.m; i++) {
            for (int l = 0; l < p.k; l++) left[(size_t)i * p.k + l] = rounded((float)(p.transpose_a ? a[(size_t)i * p.lda + l] : a[(size_t)l * p.lda + i]), p.tf32);
        }
        for (int j = 0; j < p.n; j++) {
            for (int l = 0; l < p.k; l++) right[(size_t)j * p.k + l] = rounded((float)(p.transpose_b ? b[(size_t)l * p.ldb + j] : b[(size_t)j * p.ldb + l]), p.tf32);
        }
        for (int j = 0; j < p.n; j++) {
            for (int i = 0; i < p.m; i++) {
                const float *x = &left[(size_t)i * p.k], *y = &right[(size_t)j * p.k];
                float sums[8] = {};
                int l = 0;
                for (; l + 8 <= p.k; l += 8) {
                    for (int w = 0; w < 8; w++) sums[w] += x[l + w] * y[l + w];
                }
                for (; l < p.k; l++) sums[0] += x[l] * y[l];
                float sum = 0.0f;
                for (float part : sums) sum += part;
                C& to = c[(size_t)j * p.ldc + i];
                to = C(p.alpha * sum + (p.beta != 0.0f ? p.beta * (float)to : 0.0f));
            }
        }
    }
}

inline void multiply(const Product& p) {
    const bool wide = p.c_type == 0;
    if (p.type == 0) multiply_as<float, float>(p);
    if (p.type == 2) wide ? multiply_as<Half, float>(p) : multiply_as<Half, Half>(p);
    if (p.type == 14) wide ? multiply_as<Brain, float>(p) : multiply_as<Brain, Brain>(p);
}

}  // namespace candle
