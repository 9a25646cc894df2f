//! llama.cpp's importance matrices, and the mean squares of keys and queries that follow from one.
//!
//! Such a file has the sum of squares of every input of a projection, over all tokens. Of keys
//! `k = W x` the mean squares also need the means of products of two inputs. Here inputs count as
//! uncorrelated, so that the mean of `k_a k_b` is the sum of `W_aj W_bj E[x_j²]`. Rotation then mixes
//! the channels of a pair, over the positions of the file's chunks.

use std::path::Path;

use candle_core::quantized::gguf_file::Value;

use super::header::Header;
use crate::error::shortened;
use crate::mask::MeanSquares;
use crate::model::arch::Spelling;
use crate::model::config::Config;
use crate::model::load::{Bytes, Opened};
use crate::model::rope::Rope;
use crate::{Error, Result};

/// ggml's number of f32.
const F32: u32 = 0;

/// What an importance matrix says of a model's keys and queries.
#[derive(Debug, Clone, PartialEq)]
pub struct ImatrixSquares {
    /// Mean squares after rotation.
    pub squares: MeanSquares,
    /// Tokens that they are means over: the fewest of any projection that was read.
    pub tokens: usize,
    /// Tokens of the chunks that were run.
    pub chunk: usize,
}

impl Opened {
    /// Mean squares of keys after rotation, estimated from an importance matrix of this model;
    /// of queries too where `queries` asks for them, which are empty otherwise.
    ///
    /// # Errors
    /// A file that is no importance matrix in GGUF form or belongs to a model of other sizes; a
    /// model whose keys have biases or norms, of which such a file says too little.
    pub fn mean_squares(&mut self, path: &Path, queries: bool) -> Result<ImatrixSquares> {
        let Self { config, tensors, name: model, .. } = self;
        let file = Imatrix::open(path)?;
        file.check_model(config, model)?;
        let chunk = file.chunk()?;
        let turns = Turns::new(config, chunk)?;
        let mut tokens = f64::INFINITY;
        let names = &config.architecture.tensors;
        let mut squares = |part: Spelling, heads: usize| -> Result<Vec<f64>> {
            let mut all = Vec::new();
            for layer in 0..config.layers {
                let weight = names.gguf_part(layer, part, "weight");
                let (inputs, count) = file.mean_inputs(&weight, config.hidden)?;
                tokens = tokens.min(count);
                let name = format!("{}{}.weight", names.block_prefix(layer), part.hf);
                let rows = heads * config.head_dim;
                let weights = tensors.matrix(&name, rows, config.hidden)?.widened();
                let heads = weights.chunks(config.head_dim * config.hidden);
                heads.for_each(|head| all.extend(turns.mean_squares(head, &inputs)));
            }
            Ok(all)
        };
        let keys = squares(names.k, config.kv_heads)?;
        let queries = match queries {
            true => squares(names.q, config.heads)?,
            false => Vec::new(),
        };
        let squares = MeanSquares { query_heads: config.heads, keys, queries };
        Ok(ImatrixSquares { squares, tokens: tokens as usize, chunk })
    }
}

/// An open file.
struct Imatrix {
    name: String,
    bytes: Bytes,
    header: Header,
}

impl Imatrix {
    fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = Bytes::open(path)?;
        if !bytes.starts_with(b"GGUF") {
            return Err(Error::input(format!(
                "{name}: expected an importance matrix in GGUF form, found another format (llama-imatrix makes it of older files: --in-file OLD -o NEW.gguf)"
            )));
        }
        let read = Header::read(&bytes);
        bytes.intact()?;
        let header = read
            .map_err(|cause| Error::input(format!("{name} is no readable GGUF file: {cause}")))?;
        let kind = match header.metadata.get("general.type") {
            Some(Value::String(kind)) => kind.as_str(),
            _ => "none",
        };
        match kind {
            "imatrix" => Ok(Self { name, bytes, header }),
            other => Err(Error::input(format!(
                "{name}: expected `general.type` imatrix, found {}",
                shortened(other)
            ))),
        }
    }

    fn wrong(&self, what: &str) -> Error {
        Error::input(format!("{}: {what}", self.name))
    }

    /// Refuses models that the statistics do not suffice for, and a file of a deeper one.
    fn check_model(&self, config: &Config, model: &str) -> Result<()> {
        let names = &config.architecture.tensors;
        let too_little = |why: &str| {
            Err(self.wrong(&format!("it does not tell how large the keys of {model} are: {why}")))
        };
        if config.qk_norm {
            return too_little(
                "a norm divides each of them by its own size, and the file has means over all tokens",
            );
        }
        if !config.architecture.norms.before
            || config.architecture.tensors.qkv.is_some()
            || !config.additions.kinds.is_empty()
        {
            return too_little("kscope reads this for layers like Llama's alone");
        }
        if config.qkv_bias {
            return too_little(
                "they have biases, and the file has means of squared inputs but not of inputs",
            );
        }
        let beyond = format!("{}.in_sum2", names.gguf_part(config.layers, names.k, "weight"));
        match self.header.tensors.contains_key(&beyond) {
            true => Err(self.wrong(&format!(
                "expected the {} layers of {model}, found tensor `{beyond}`",
                config.layers
            ))),
            false => Ok(()),
        }
    }

    /// Tokens of the chunks that it was made from.
    fn chunk(&self) -> Result<usize> {
        match self.header.metadata.get("imatrix.chunk_size") {
            Some(Value::U32(tokens @ 1..)) => Ok(*tokens as usize),
            Some(other) => Err(self.wrong(&format!(
                "`imatrix.chunk_size`: expected at least 1 token as u32, found {other:?}"
            ))),
            None => Err(self.wrong("`imatrix.chunk_size` is missing")),
        }
    }

    /// The mean square of every input of a projection, and the tokens that it is a mean over.
    fn mean_inputs(&self, weight: &str, inputs: usize) -> Result<(Vec<f64>, f64)> {
        let sums = self.numbers(&format!("{weight}.in_sum2"), inputs)?;
        if sums.iter().all(|&sum| sum == 0.0) {
            return Err(self.wrong(&format!(
                "tensor `{weight}.in_sum2` has zeros alone, expected the sums of inputs that were seen"
            )));
        }
        let counts = self.numbers(&format!("{weight}.counts"), 1)?;
        let count = counts.first().copied().map_or(0.0, f64::from);
        if count < 1.0 {
            return Err(self.wrong(&format!(
                "tensor `{weight}.counts`: expected at least 1 token, found {count}"
            )));
        }
        Ok((sums.into_iter().map(|sum| f64::from(sum) / count).collect(), count))
    }

    /// A tensor of so many f32 numbers of at least 0.
    fn numbers(&self, name: &str, len: usize) -> Result<Vec<f32>> {
        let wrong = |what: String| self.wrong(&format!("tensor `{name}` {what}"));
        let info = self.header.tensors.get(name).ok_or_else(|| wrong("is missing".to_owned()))?;
        if info.kind != F32 || info.shape.elem_count() != len {
            return Err(wrong(format!(
                "has {} numbers of ggml's type {}, expected {len} of type {F32}",
                info.shape.elem_count(),
                info.kind
            )));
        }
        let start = self.header.data_start.saturating_add(info.offset) as usize;
        let bytes = start.checked_add(4 * len).and_then(|end| self.bytes.get(start..end));
        let bytes = bytes.ok_or_else(|| wrong("reaches beyond the end of the file".to_owned()))?;
        let numbers = bytes.as_chunks::<4>().0.iter().map(|&four| f32::from_le_bytes(four));
        let numbers: Vec<f32> = numbers.collect();
        self.bytes.intact()?;
        match numbers.iter().find(|number| !(number.is_finite() && **number >= 0.0)) {
            Some(bad) => Err(wrong(format!("has {bad}, expected numbers of at least 0"))),
            None => Ok(numbers),
        }
    }
}

/// Means over positions of what rotation multiplies the channels of a pair with.
struct Turns {
    /// Mean cos², sin² and sin·cos of each pair, fast to slow.
    pairs: Vec<[f64; 3]>,
}

impl Turns {
    fn new(config: &Config, positions: usize) -> Result<Self> {
        let half = config.head_dim / 2;
        let angles = Rope::new(config)?.prompt_angles(positions);
        let [cos, sin] = angles.of(0);
        let mut pairs = vec![[0.0; 3]; half];
        for ((at, &cos), &sin) in cos.iter().enumerate().zip(sin) {
            let (cos, sin) = (f64::from(cos), f64::from(sin));
            let Some(sums) = pairs.get_mut(at % half) else { continue };
            for (sum, term) in sums.iter_mut().zip([cos * cos, sin * sin, sin * cos]) {
                *sum += term / positions as f64;
            }
        }
        Ok(Self { pairs })
    }

    #[expect(clippy::indexing_slicing, reason = "`head` is checked against the shape of the model")]
    /// Mean squares of the rotated channels of a head whose weights are `[head_dim, inputs]`.
    fn mean_squares(&self, head: &[f32], inputs: &[f64]) -> Vec<f64> {
        let (half, width) = (self.pairs.len(), inputs.len());
        let row = |channel: usize| &head[channel * width..][..width];
        let mean = |a: usize, b: usize| -> f64 {
            let products = row(a).iter().zip(row(b)).zip(inputs);
            products.map(|((&a, &b), square)| f64::from(a) * f64::from(b) * square).sum()
        };
        let mut out = vec![0.0; 2 * half];
        for (first, [cos2, sin2, sincos]) in self.pairs.iter().enumerate() {
            let second = first + half;
            let (aa, bb) = (mean(first, first), mean(second, second));
            let ab = 2.0 * mean(first, second) * sincos;
            // What rounding leaves of a sum of squares may lie below zero.
            out[first] = (aa * cos2 + bb * sin2 - ab).max(0.0);
            out[second] = (bb * cos2 + aa * sin2 + ab).max(0.0);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::arch::known_config;
    use crate::model::rope::rotate;

    #[test]
    fn one_input_alone_gives_the_mean_squares_of_its_rotated_keys() {
        let config = known_config("llama-3.2-1b").expect("a published shape");
        let (dim, positions) = (config.head_dim, 37);
        let head: Vec<f32> = (0..dim * 3).map(|at| ((at * 7 % 11) as f32 - 5.0) / 3.0).collect();
        let turns = Turns::new(&config, positions).unwrap();
        let rope = Rope::new(&config).unwrap();
        let angles = rope.prompt_angles(positions);
        let [cos, sin] = angles.of(0);
        let expected = |input: usize, square: f64| -> Vec<f64> {
            let mut sums = vec![0.0; dim];
            for position in 0..positions {
                let mut key: Vec<f32> = (0..dim).map(|channel| head[channel * 3 + input]).collect();
                let angles = position * dim / 2..(position + 1) * dim / 2;
                rotate(&mut key, &cos[angles.clone()], &sin[angles]);
                let squares = sums.iter_mut().zip(&key);
                squares.for_each(|(sum, &k)| *sum += f64::from(k * k) * square / positions as f64);
            }
            sums
        };
        let (first, last) = (expected(0, 4.0), expected(2, 0.5));
        let found = turns.mean_squares(&head, &[4.0, 0.0, 0.5]);
        for channel in 0..dim {
            // Inputs count as uncorrelated, so that their parts add up.
            let sum = first[channel] + last[channel];
            assert!((found[channel] - sum).abs() < 1e-5 * sum.max(1.0), "channel {channel}");
        }
    }
}
