//! The kernels against f64 sums over what a block stores.

use half::{bf16, f16};

use super::{CodeLanes, arrange_queries, block_scores, block_values};
use crate::attention::kernel::Widen;
use crate::attention::kernel::portable::Portable;
use crate::cache::BLOCK;
use crate::cache::coded::{BlockLayout, Group};
use crate::element::Element;
use crate::mask::{Coding, Width};
use crate::random::SplitMix64;

/// A block with everything that a test of it needs.
struct Case {
    layout: BlockLayout,
    words: Vec<[u8; 64]>,
    heads: usize,
    /// `[heads][head_dim]`
    q: Vec<f32>,
    /// `[heads][64]`
    weights: Vec<f32>,
}

/// What a kernel made of a case: scores `[heads][64]` and sums `[heads][head_dim]`.
type Results = [Vec<f32>; 2];

/// Numbers before the values are added.
const BEFORE: f32 = 0.75;
const RESCALE: f32 = 0.5;

/// Random numbers around 0, about one in `rare` of them fifty times as large.
struct Numbers(SplitMix64);

impl Numbers {
    fn uniform(&mut self) -> f32 {
        self.0.below(1 << 20) as f32 / (1 << 19) as f32 - 1.0
    }

    fn draw(&mut self, rare: usize) -> f32 {
        let size = if self.0.below(rare) == 0 { 50.0 } else { 1.0 };
        size * (self.uniform() + self.uniform() + self.uniform())
    }
}

impl Case {
    fn new<E: Element>(
        widths: &[Width],
        v: Width,
        coding: Coding,
        group: usize,
        heads: usize,
        tokens: (usize, usize),
        seed: u64,
    ) -> Self {
        let head_dim = widths.len();
        let mut numbers = Numbers(SplitMix64::new(seed));
        let layout = BlockLayout::new(widths, v, coding, size_of::<E>(), group);
        let mut words = vec![[0; 64]; layout.bytes() / 64];
        let block = bytemuck::cast_slice_mut(&mut words);
        // A channel's numbers share a size and a middle, some of them large.
        let mut keys = Vec::new();
        for _ in 0..head_dim {
            let (size, middle) = (numbers.draw(6), numbers.draw(6));
            keys.extend(
                (0..BLOCK).map(|_| {
                    E::DTYPE.largest().min(60_000.0).min(size * numbers.uniform() + middle)
                }),
            );
        }
        let mut stored = vec![E::zeroed(); keys.len()];
        E::round(&keys, &mut stored);
        keys.iter_mut().zip(stored).for_each(|(x, stored)| *x = stored.widen());
        layout.write_keys::<E>(block, 0..BLOCK, &keys);
        for token in tokens.0..tokens.1 {
            let value: Vec<f32> =
                (0..head_dim).map(|_| f16::from_f32(numbers.draw(60)).to_f32()).collect();
            layout.write_value::<E>(block, token, &value);
        }
        let q = (0..heads * head_dim).map(|_| numbers.draw(20)).collect();
        let weights = (0..heads * BLOCK).map(|at| {
            let sharp = numbers.uniform().powi(4);
            if (tokens.0..tokens.1).contains(&(at % BLOCK)) { sharp } else { 0.0 }
        });
        let weights = weights.collect();
        Self { layout, words, heads, q, weights }
    }

    fn block(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }

    /// Both steps.
    ///
    /// # Safety
    /// As [`block_scores`].
    #[inline(always)]
    unsafe fn run<S: CodeLanes + Widen<E>, E: Element>(&self, tokens: (usize, usize)) -> Results {
        let (layout, heads) = (&self.layout, self.heads);
        let mut q = vec![0.0; heads * layout.channels().len()];
        arrange_queries(layout, &self.q, 1.0, &mut q);
        let mut scores = vec![f32::NAN; heads * BLOCK];
        let mut sums = vec![BEFORE; heads * layout.head_dim()];
        let rescale = vec![RESCALE; heads];
        // SAFETY: the caller's promises.
        unsafe {
            let block = self.block();
            block_scores::<S, E>(layout, block, &q, heads, &mut scores, block);
            let weights = (heads, &self.weights[..], &rescale[..]);
            block_values::<S, E>(layout, block, tokens, weights, &mut sums, block);
        }
        [scores, sums]
    }

    /// The same from the stored numbers, in f64, with how far a kernel may be off whose weights are
    /// whole numbers up to `limit`.
    fn expected<E: Element>(&self, limit: fn(usize) -> f64) -> [Vec<(f64, f64)>; 2] {
        let layout = &self.layout;
        let (head_dim, channels) = (layout.head_dim(), layout.channels().len());
        let mut keys = vec![0.0; channels * BLOCK];
        layout.read_keys::<E>(self.block(), &mut keys);
        let values: Vec<Vec<f32>> = (0..BLOCK)
            .map(|token| {
                let mut value = vec![0.0; head_dim];
                layout.read_value::<E>(self.block(), token, &mut value);
                value
            })
            .collect();
        let (mut scores, mut sums) = (Vec::new(), Vec::new());
        for (q, weights) in self.q.chunks(head_dim).zip(self.weights.chunks(BLOCK)) {
            let q: Vec<f64> =
                layout.channels().iter().map(|&channel| f64::from(q[channel])).collect();
            for token in 0..BLOCK {
                let k = |at: usize| f64::from(keys[at * BLOCK + token]);
                let score: f64 = (0..channels).map(|at| q[at] * k(at)).sum();
                let mut off = 0.0;
                for (at, q) in q.iter().enumerate() {
                    off += 1e-6 * q.abs() * (k(at).abs() + self.reach(at, token));
                }
                for run in layout.runs() {
                    let places = run.first..run.first + run.channels;
                    let largest = places
                        .clone()
                        .map(|place| {
                            q[layout.full_channels() + place].abs() * self.k_scale(place, token).0
                        })
                        .fold(0.0, f64::max);
                    off += rounding(largest, run.channels, run.width, limit);
                }
                scores.push((score, off));
            }
            for channel in 0..head_dim {
                let mut sum = f64::from(BEFORE * RESCALE);
                let mut off = 1e-6;
                let mut largest = 0.0f64;
                for (token, (&weight, value)) in weights.iter().zip(&values).enumerate() {
                    let (weight, v) = (f64::from(weight), f64::from(value[channel]));
                    let (scale, minimum) = self.v_scale(channel, token);
                    sum += weight * v;
                    off += 1e-6 * weight * (v.abs() + minimum.abs() + 255.0 * scale);
                    largest = largest.max(weight * scale);
                }
                if let Some(codes) = layout.value_codes() {
                    off += rounding(largest, BLOCK, codes.width, limit);
                }
                sums.push((sum, off));
            }
        }
        [scores, sums]
    }

    /// The larger magnitude of a coded channel's minimum and maximum; 0 for 16 bits.
    fn reach(&self, at: usize, token: usize) -> f64 {
        let full = self.layout.full_channels();
        if at < full {
            return 0.0;
        }
        let (scale, minimum) = self.k_scale(at - full, token);
        minimum.abs() + 255.0 * scale
    }

    fn number(&self, at: usize) -> f64 {
        f16::from_le_bytes([self.block()[at], self.block()[at + 1]]).into()
    }

    fn k_scale(&self, place: usize, token: usize) -> (f64, f64) {
        let [scales, minima] = self.layout.k_scales(token / self.layout.group_tokens());
        (self.number(scales.start + 2 * place), self.number(minima.start + 2 * place))
    }

    fn v_scale(&self, channel: usize, token: usize) -> (f64, f64) {
        let Some(codes) = self.layout.value_codes() else { return (0.0, 0.0) };
        let [scales, minima] = self.layout.v_scales(codes, channel / codes.group);
        (self.number(scales.start + 2 * token), self.number(minima.start + 2 * token))
    }
}

/// The most that `count` weights up to `largest` are off, each by half a step, times the codes they
/// meet: centred ones where a step is coarse.
fn rounding(largest: f64, count: usize, width: Width, limit: fn(usize) -> f64) -> f64 {
    let limit = limit(width.bits().into());
    let code = f64::from(width.largest_code());
    let met = if limit < 256.0 { code / 2.0 } else { code };
    largest / limit / 2.0 * 1.0001 * met * count as f64
}

/// A kernel: how it runs, and its largest weight.
struct Kernel<E> {
    name: &'static str,
    run: unsafe fn(&Case, (usize, usize)) -> Results,
    limit: fn(usize) -> f64,
    element: std::marker::PhantomData<E>,
}

unsafe fn portable<E: Element>(case: &Case, tokens: (usize, usize)) -> Results
where
    Portable: Widen<E>,
{
    // SAFETY: every machine has these instructions.
    unsafe { case.run::<Portable, E>(tokens) }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Case, Element, Results, Widen};
    use crate::attention::kernel::{avx2::Avx2, avx512::Avx512};

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) unsafe fn avx2<E: Element>(case: &Case, tokens: (usize, usize)) -> Results
    where
        Avx2: Widen<E>,
    {
        // SAFETY: this function is compiled with the instructions of `Avx2`.
        unsafe { case.run::<Avx2, E>(tokens) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    pub(super) unsafe fn vnni<E: Element>(case: &Case, tokens: (usize, usize)) -> Results
    where
        Avx512: Widen<E>,
    {
        // SAFETY: this function is compiled with the instructions of `Avx512` for codes.
        unsafe { case.run::<Avx512, E>(tokens) }
    }
}

/// The kernels of this machine.
macro_rules! kernels {
    ($element:ty) => {{
        let kernel = |name, run, limit| Kernel::<$element> {
            name,
            run,
            limit,
            element: std::marker::PhantomData,
        };
        let mut kernels = vec![kernel("portable", portable::<$element>, |_| f64::INFINITY)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c") {
                let limit = |bits| if bits == 8 { 32_767.0 } else { 127.0 };
                kernels.push(kernel("avx2", x86::avx2::<$element>, limit));
            }
            if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl") {
                let limit = |bits| if bits == 8 { 32_512.0 } else { 127.0 };
                kernels.push(kernel("vnni", x86::vnni::<$element>, limit));
            }
        }
        kernels
    }};
}

fn check<E: Element>(case: &Case, tokens: (usize, usize), kernels: &[Kernel<E>], what: &str) {
    for kernel in kernels {
        // SAFETY: kernels are those of this machine.
        let found = unsafe { (kernel.run)(case, tokens) };
        let expected = case.expected::<E>(kernel.limit);
        for (step, (found, expected)) in ["score", "sum"].iter().zip(found.iter().zip(&expected)) {
            assert_eq!(found.len(), expected.len());
            for (at, (&found, &(exact, off))) in found.iter().zip(expected).enumerate() {
                assert!(
                    (f64::from(found) - exact).abs() <= off,
                    "{}, {what}: {step} {at} is {found}, not {exact} (may be off by {off})",
                    kernel.name
                );
            }
        }
    }
}

/// Widths drawn from `from`.
fn widths(head_dim: usize, from: &[Width], random: &mut SplitMix64) -> Vec<Width> {
    (0..head_dim).map(|_| from[random.below(from.len())]).collect()
}

#[test]
fn every_mixture_of_widths_and_groups_on_every_level() {
    let mut random = SplitMix64::new(16);
    let kernels = kernels!(f16);
    let head_dims = [4, 5, 12, 16, 31, 32, 48, 64, 80, 96, 128, 192, 256];
    for (round, head_dim) in head_dims.into_iter().cycle().take(130).enumerate() {
        let mixtures: [&[Width]; 6] = [
            &Width::ALL,
            &Width::CODED,
            &[Width::Eight],
            &[Width::Four],
            &[Width::Two, Width::Zero],
            &[Width::Sixteen, Width::Two],
        ];
        let k = widths(head_dim, mixtures[round % 6], &mut random);
        let v = [Width::Eight, Width::Four, Width::Two, Width::Sixteen][random.below(4)];
        let coding = match random.below(4) {
            0 => Coding::best(head_dim),
            1 => Coding::Channels { v_group: 32 },
            2 => Coding::Channels { v_group: 16 },
            _ => Coding::Channels { v_group: 4 },
        };
        let group = 1 << (round % 7);
        let heads = 1 + random.below(8);
        let start = random.below(BLOCK);
        let tokens = match random.below(3) {
            0 => (0, BLOCK),
            1 => (0, start),
            _ => (start, start + random.below(BLOCK - start + 1)),
        };
        let case = Case::new::<f16>(&k, v, coding, group, heads, tokens, round as u64);
        let what = format!(
            "head_dim {head_dim}, V {v} bits, {coding:?}, groups of {group}, {heads} heads, tokens \
             {tokens:?}, K {k:?}"
        );
        check(&case, tokens, &kernels, &what);
    }
}

#[test]
fn every_element_type() {
    let mut random = SplitMix64::new(17);
    for (seed, v) in [Width::Sixteen, Width::Eight].into_iter().enumerate() {
        let k = widths(48, &Width::ALL, &mut random);
        let all = (0, BLOCK);
        let of = |seed| (Coding::best(48), 64, 3, all, seed as u64);
        let (coding, group, heads, tokens, seed) = of(seed);
        let case = Case::new::<f32>(&k, v, coding, group, heads, tokens, seed);
        check(&case, all, &kernels!(f32), "f32");
        let case = Case::new::<bf16>(&k, v, coding, group, heads, tokens, seed);
        check(&case, all, &kernels!(bf16), "bf16");
    }
}

/// Constant channels have scale 0, and a query or weight of 0 folds to weights that are all 0.
#[test]
fn nothing_to_scale_gives_the_minima() {
    for kernel in kernels!(f16) {
        let mut case = Case::new::<f16>(
            &[Width::Eight; 64],
            Width::Four,
            Coding::best(64),
            64,
            4,
            (0, BLOCK),
            5,
        );
        let block = bytemuck::cast_slice_mut(&mut case.words);
        case.layout.write_keys::<f16>(block, 0..BLOCK, &[2.5; 64 * BLOCK]);
        (0..BLOCK).for_each(|token| case.layout.write_value::<f16>(block, token, &[-3.0; 64]));
        case.q = vec![1.0; 4 * 64];
        case.q[64..].fill(0.0);
        case.weights = vec![0.125; 4 * BLOCK];
        case.weights[BLOCK..].fill(0.0);
        // SAFETY: kernels are those of this machine.
        let [scores, sums] = unsafe { (kernel.run)(&case, (0, BLOCK)) };
        assert!(scores[..BLOCK].iter().all(|&score| score == 160.0), "{}", kernel.name);
        assert!(scores[BLOCK..].iter().all(|&score| score == 0.0), "{}", kernel.name);
        let before = BEFORE * RESCALE;
        assert!(sums[..64].iter().all(|&sum| sum == before - 24.0), "{}", kernel.name);
        assert!(sums[64..].iter().all(|&sum| sum == before), "{}", kernel.name);
    }
}

/// A number that is not finite makes its group NaN, and that must reach the result.
#[test]
fn what_is_not_finite_stays_visible() {
    for kernel in kernels!(f16) {
        let widths = [Width::Eight; 16];
        let mut case =
            Case::new::<f16>(&widths, Width::Eight, Coding::best(16), 64, 1, (0, BLOCK), 6);
        case.q[3] = f32::NAN;
        case.weights[7] = f32::NAN;
        // SAFETY: kernels are those of this machine.
        let [scores, sums] = unsafe { (kernel.run)(&case, (0, BLOCK)) };
        assert!(scores.iter().chain(&sums).all(|x| x.is_nan()), "{}", kernel.name);
    }
}

/// The rounding of weights against that of the codes themselves, which a plan pays for already.
#[test]
fn rounded_weights_cost_little_beside_the_codes() {
    for (width, most) in [(Width::Eight, 0.06), (Width::Four, 0.5), (Width::Two, 0.2)] {
        for kernel in kernels!(f16) {
            let (mut ours, mut codes) = ([0.0; 2], [0.0; 2]);
            for seed in 0..8 {
                let widths = [width; 64];
                let case =
                    Case::new::<f16>(&widths, width, Coding::best(64), 64, 3, (0, BLOCK), seed);
                // SAFETY: kernels are those of this machine.
                let found = unsafe { (kernel.run)(&case, (0, BLOCK)) };
                let expected = case.expected::<f16>(|_| f64::INFINITY);
                for step in 0..2 {
                    for (&found, &(exact, _)) in found[step].iter().zip(&expected[step]) {
                        ours[step] += (f64::from(found) - exact).powi(2);
                    }
                }
                // A code is off by a scale over the square root of 12.
                for (at, q) in case.q.iter().enumerate() {
                    let error = f64::from(*q) * case.k_scale(at % 64, 0).0;
                    codes[0] += error * error / 12.0 * BLOCK as f64;
                }
                for (at, weight) in case.weights.iter().enumerate() {
                    let error = f64::from(*weight) * case.v_scale(0, at % BLOCK).0;
                    codes[1] += error * error / 12.0 * 64.0;
                }
            }
            let shares = [0, 1].map(|step| (ours[step] / codes[step]).sqrt());
            println!("{width} bits, {}: {shares:.4?} of the codes' error", kernel.name);
            assert!(shares.iter().all(|&share| share < most), "{}: {shares:?}", kernel.name);
        }
    }
}

/// A group's own definition, so that the tests of this module fail with it.
#[test]
fn a_code_stands_for_minimum_and_scale() {
    let group = Group { scale: f16::from_f32(0.5), minimum: f16::from_f32(-1.0) };
    assert_eq!(group.number(3), 0.5);
}
