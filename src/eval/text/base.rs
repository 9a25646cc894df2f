//! llama-perplexity's file of base logits: chunks of tokens, and for every scored position the whole
//! distribution in 16 bits a token.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::chunks::first_scored;
use crate::numbers::count;
use crate::{Error, Result, error, input_file};

const MAGIC: &[u8; 8] = b"_logits_";

/// Log-probabilities below this do not count in a divergence.
const LEAST: f32 = -16.0;

/// Numbers of 16 bits in a row: an even number for the tokens, and four for scale and minimum.
fn row_numbers(vocab: usize) -> usize {
    vocab.div_ceil(2) * 2 + 4
}

/// One position's distribution.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseRow {
    scale: f32,
    least: f32,
    codes: Vec<u16>,
}

impl BaseRow {
    /// The distribution of logits; those further than 16 below the largest become that.
    pub fn of(logits: &[f32]) -> Self {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let min = logits.iter().copied().fold(f32::INFINITY, f32::min).max(max + LEAST);
        let sum: f64 = logits.iter().map(|&logit| f64::from((logit - max).exp())).sum();
        let scale = (max - min) / 65_535.0;
        let code = |logit: f32| match scale > 0.0 && logit > min {
            true => ((logit - min) / scale).round_ties_even().min(65_535.0) as u16,
            false => 0,
        };
        Self {
            scale,
            least: min - max - sum.ln() as f32,
            codes: logits.iter().map(|&logit| code(logit)).collect(),
        }
    }

    /// Log-probability of a token.
    pub fn log_p(&self, token: u32) -> f32 {
        self.scale * f32::from(self.codes[token as usize]) + self.least
    }

    /// The likeliest token, the lowest id among equals.
    pub fn top(&self) -> u32 {
        let mut best = 0;
        for (token, code) in self.codes.iter().enumerate() {
            if *code > self.codes[best] {
                best = token;
            }
        }
        best as u32
    }

    /// KL(this || logits) in nats; tokens at or below a log-probability of -16 do not count.
    pub fn kld(&self, logits: &[f32]) -> f64 {
        let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - max).exp()).sum();
        let norm = max + sum.ln();
        (0..logits.len())
            .map(|token| (self.log_p(token as u32), logits[token]))
            .filter(|(log_p, _)| *log_p > LEAST)
            .map(|(log_p, logit)| {
                let log_p = f64::from(log_p);
                log_p.exp() * (log_p - f64::from(logit) + norm)
            })
            .sum()
    }
}

/// A file that is being written, chunk by chunk.
#[derive(Debug)]
pub struct BaseWriter {
    out: BufWriter<File>,
    path: PathBuf,
    vocab: usize,
}

impl BaseWriter {
    /// Begins a file with the tokens of all chunks, which have equal lengths.
    pub fn create(path: &Path, vocab: usize, chunks: &[Vec<u32>]) -> Result<Self> {
        let file = File::create(path).map_err(|cause| error::io("writing", path, &cause))?;
        let mut writer = Self { out: BufWriter::new(file), path: path.to_owned(), vocab };
        let ctx = chunks.first().map_or(0, Vec::len);
        let numbers = [ctx, vocab, chunks.len()].map(|number| number as u32);
        let mut bytes = MAGIC.to_vec();
        let all = numbers.iter().chain(chunks.iter().flatten());
        bytes.extend(all.flat_map(|number| number.to_le_bytes()));
        writer.write(&bytes)?;
        Ok(writer)
    }

    /// Adds a scored position.
    pub fn push(&mut self, logits: &[f32]) -> Result<()> {
        let row = BaseRow::of(logits);
        let mut bytes = Vec::with_capacity(2 * row_numbers(self.vocab));
        bytes.extend(row.scale.to_le_bytes());
        bytes.extend(row.least.to_le_bytes());
        bytes.extend(row.codes.iter().flat_map(|code| code.to_le_bytes()));
        bytes.resize(2 * row_numbers(self.vocab), 0);
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let path = &self.path;
        self.out.write_all(bytes).map_err(|cause| error::io("writing", path, &cause))
    }

    /// Ends the file.
    pub fn finish(mut self) -> Result<()> {
        self.out.flush().map_err(|cause| error::io("writing", &self.path, &cause))
    }
}

/// A file that is read.
#[derive(Debug)]
pub struct BaseFile {
    input: BufReader<File>,
    path: PathBuf,
    vocab: usize,
    /// Tokens of each chunk.
    pub chunks: Vec<Vec<u32>>,
}

impl BaseFile {
    /// Opens a file and checks its size.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display();
        let at = |cause: &std::io::Error| error::io("reading", path, cause);
        let file = input_file::open(path, input_file::LOGITS)?;
        let size = file.metadata().map_err(|cause| at(&cause))?.len();
        let mut input = BufReader::new(file);
        let mut head = [0; 20];
        let short =
            || Error::input(format!("{name} ends before its tokens do: it holds {} bytes", size));
        input.read_exact(&mut head).map_err(|_| short())?;
        if head[..8] != *MAGIC {
            return Err(Error::input(format!(
                "{name} is no file of base logits: expected `_logits_` at its beginning, found {:?}",
                String::from_utf8_lossy(&head[..8])
            )));
        }
        let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four"));
        let [ctx, vocab, chunks] = [number(8), number(12), number(16)].map(|n| n as usize);
        // Three numbers of 32 bits multiplied do not fit into 64.
        let rows = ctx.saturating_sub(1 + first_scored(ctx)) as u128 * chunks as u128;
        let tokens = ctx as u128 * chunks as u128;
        let expected = 20 + 4 * tokens + rows * 2 * row_numbers(vocab) as u128;
        if ctx < 4 || vocab == 0 || chunks == 0 || expected != u128::from(size) {
            return Err(Error::input(format!(
                "{name}: {chunks} chunks of {ctx} tokens over a vocabulary of {vocab} take {expected} bytes, and the file has {size}"
            )));
        }
        let mut bytes = vec![0; 4 * ctx * chunks];
        input.read_exact(&mut bytes).map_err(|_| short())?;
        let tokens: Vec<u32> = bytes
            .chunks_exact(4)
            .map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four")))
            .collect();
        let chunks = tokens.chunks_exact(ctx).map(<[u32]>::to_vec).collect();
        Ok(Self { input, path: path.to_owned(), vocab, chunks })
    }

    /// Refuses a file of another vocabulary.
    pub fn check_vocab(&self, vocab: usize) -> Result<()> {
        if self.vocab == vocab {
            return Ok(());
        }
        Err(Error::input(format!(
            "{}: expected a vocabulary of {}, the model's, found {}",
            self.path.display(),
            count(vocab),
            count(self.vocab)
        )))
    }

    /// The row of a chunk's scored position, counted from the first scored one.
    pub fn row(&mut self, chunk: usize, at: usize) -> Result<BaseRow> {
        let ctx = self.chunks[0].len();
        let rows = ctx - 1 - first_scored(ctx);
        let size = 2 * row_numbers(self.vocab);
        let start = 20 + 4 * ctx * self.chunks.len() + (chunk * rows + at) * size;
        let mut bytes = vec![0; size];
        let path = &self.path;
        self.input
            .seek(SeekFrom::Start(start as u64))
            .and_then(|_| self.input.read_exact(&mut bytes))
            .map_err(|cause| error::io("reading", path, &cause))?;
        let float = |at: usize| f32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
        let codes = bytes[8..8 + 2 * self.vocab].chunks_exact(2);
        Ok(BaseRow {
            scale: float(0),
            least: float(4),
            codes: codes.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits(seed: usize) -> Vec<f32> {
        (0..31).map(|at| 9.0 * ((at * 7 + seed) as f32 * 0.9).sin()).collect()
    }

    #[test]
    fn a_row_keeps_probabilities_to_sixteen_bits() {
        let logits = logits(0);
        let row = BaseRow::of(&logits);
        for token in 0..31 {
            let exact = crate::decode::sampler::logprob(&logits, token);
            assert!((row.log_p(token) - exact).abs() < 3e-4, "{token}");
        }
        assert_eq!(row.top(), crate::decode::sampler::argmax(&logits));
        assert!(row.kld(&logits).abs() < 1e-5);
        let far = BaseRow::of(&[0.0, -40.0]);
        assert!((far.log_p(1) + 16.0).abs() < 1e-3, "logits are cut 16 below the largest");
        let flat = BaseRow::of(&[2.0; 4]);
        assert!((flat.log_p(3) + 4.0_f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn a_file_gives_back_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("base");
        let chunks = vec![(0..8).collect::<Vec<u32>>(), (8..16).collect()];
        let mut writer = BaseWriter::create(&path, 31, &chunks).unwrap();
        for seed in 0..6 {
            writer.push(&logits(seed)).unwrap();
        }
        writer.finish().unwrap();
        let mut file = BaseFile::open(&path).unwrap();
        assert_eq!(file.chunks, chunks);
        assert_eq!(file.row(1, 2).unwrap(), BaseRow::of(&logits(5)));
        assert_eq!(file.row(0, 1).unwrap(), BaseRow::of(&logits(1)));
        assert!(file.check_vocab(30).unwrap_err().to_string().contains("found 31"));
        let bytes = std::fs::read(&path).unwrap();
        for wrong in [&bytes[..10], &bytes[..bytes.len() - 1], &[b"_Logits_", &bytes[8..]].concat()]
        {
            std::fs::write(&path, wrong).unwrap();
            assert_eq!(BaseFile::open(&path).unwrap_err().exit_code(), 2);
        }
    }
}
