//! Models of the vectors with something changed, and the check that such a model is refused.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use assert_cmd::Command;
use candle_core::quantized::gguf_file::{self, Content, Value};
use half::f16;
use kscope_testing::gguf::GgufFile;
use kscope_testing::models::*;
use kscope_testing::{kscope, vectors};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// Checks that `command` fails with exit code 2 and one sentence that has all of `words` in it.
pub fn refuses(command: &mut Command, words: &[&str]) -> String {
    let output = command.output().unwrap();
    let (out, err) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(2), "expected {words:?}, found {out}{err}");
    assert_eq!(out, "", "nothing is printed before a refusal");
    let sentence = err.strip_suffix('\n').unwrap();
    assert!(
        sentence.starts_with("kscope: ") && !sentence.contains('\n'),
        "one sentence, not {err}"
    );
    for word in words {
        assert!(sentence.contains(word), "no `{word}` in: {sentence}");
    }
    sentence.to_owned()
}

/// `kscope run` on a model with a prompt of ids.
pub fn refuses_model(path: &Path, words: &[&str]) {
    let path = path.to_str().unwrap();
    refuses(
        kscope().args(["run", "--token-ids", "1,5,6", "--max-new", "2", "--model", path]),
        words,
    );
}

/// The `llama` folder of the vectors, changed.
pub fn changed(change: impl FnOnce(&Path)) -> tempfile::TempDir {
    let folder = tiny_folder("llama");
    change(folder.path());
    folder
}

pub fn edit_config(folder: &Path, from: &str, to: &str) {
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "no {from} in {text}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

pub type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

pub fn edit_weights(folder: &Path, edit: impl FnOnce(&mut Tensors)) {
    let path = folder.join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let mut tensors: Tensors = SafeTensors::deserialize(&bytes)
        .unwrap()
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec())))
        .collect();
    edit(&mut tensors);
    let views: Vec<_> =
        tensors.iter().map(|(name, tensor)| (name.as_str(), view(tensor))).collect();
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

pub fn view((dtype, shape, data): &(Dtype, Vec<usize>, Vec<u8>)) -> TensorView<'_> {
    TensorView::new(*dtype, shape.clone(), data).unwrap()
}

pub fn edit_file(path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    edit(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

pub const Q: &str = "model.layers.1.self_attn.q_proj.weight";

/// A GGUF file of the vectors with other metadata.
pub fn changed_gguf(
    name: &str,
    change: impl FnOnce(&mut HashMap<String, Value>),
) -> tempfile::TempDir {
    changed_gguf_at(&vectors().join(format!("gguf/{name}.gguf")), change)
}

/// A copy of a GGUF file with changed metadata, as `model.gguf` in a folder of its own.
pub fn changed_gguf_at(
    path: &Path,
    change: impl FnOnce(&mut HashMap<String, Value>),
) -> tempfile::TempDir {
    let mut file = std::fs::File::open(path).unwrap();
    let mut content = Content::read(&mut file).unwrap();
    change(&mut content.metadata);
    let device = candle_core::Device::Cpu;
    let names: Vec<String> = content.tensor_infos.keys().cloned().collect();
    let tensors: Vec<_> =
        names.iter().map(|name| content.tensor(&mut file, name, &device).unwrap()).collect();
    let tensors: Vec<_> = names.iter().map(String::as_str).zip(&tensors).collect();
    let metadata: Vec<_> =
        content.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let folder = tempfile::tempdir().unwrap();
    let mut out = std::fs::File::create(folder.path().join("model.gguf")).unwrap();
    gguf_file::write(&mut out, &metadata, &tensors).unwrap();
    folder
}

/// The sum of a prompt's log-probabilities, and what is said beside it.
pub fn logprobs_of(model: &Path, prompt: &[u32]) -> (f64, String) {
    let prompt: Vec<String> = prompt.iter().map(u32::to_string).collect();
    let output = kscope()
        .args(["run", "--prompt-logprobs", "--json", "--dtype", "f32", "--kv-dtype", "f32"])
        .args(["--max-new", "1", "--token-ids", &prompt.join(",")])
        .args(["--model", model.to_str().unwrap()])
        .output()
        .unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{words}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let logprobs = report["prompt_logprobs"].as_array().unwrap();
    (logprobs.iter().filter_map(serde_json::Value::as_f64).sum(), words)
}

pub fn floats() -> GgufFile {
    GgufFile::open(&vectors().join("gguf/llama-f32.gguf"))
}

/// What a test writes and opens again.
pub fn written(file: &GgufFile) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    file.write(&path);
    (folder, path)
}

pub const LFS: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

/// Numbers as blocks of `Q8_0`, and what the blocks stand for.
fn q8_0(values: &[f32]) -> (Vec<u8>, Vec<u8>) {
    let (mut blocks, mut floats) = (Vec::new(), Vec::new());
    for values in values.chunks(32) {
        let largest = values.iter().fold(0.0, |max: f32, x| max.max(x.abs()));
        let scale = f16::from_f32(largest / 127.0);
        blocks.extend(scale.to_le_bytes());
        for value in values {
            let code = (value / scale.to_f32()).round().clamp(-127.0, 127.0) as i8;
            blocks.push(code as u8);
            floats.extend((scale.to_f32() * f32::from(code)).to_le_bytes());
        }
    }
    (blocks, floats)
}

/// A file of f32 tensors with the matrices that `which` takes in blocks of `Q8_0`, and the same with
/// the values of those blocks.
pub fn quantised(file: &GgufFile, which: impl Fn(&str) -> bool) -> [GgufFile; 2] {
    let (mut blocks, mut wide) = (file.clone(), file.clone());
    let tensors = blocks.tensors.iter_mut().zip(&mut wide.tensors);
    for (tensor, wide) in
        tensors.filter(|(tensor, _)| tensor.shape.len() > 1 && which(&tensor.name))
    {
        let values = tensor.bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four));
        (tensor.bytes, wide.bytes) = q8_0(&values.collect::<Vec<f32>>());
        tensor.kind = 8;
    }
    [blocks, wide]
}
