//! Bad input to the program: exit code 2 and one sentence on standard error that names what is
//! wrong.

use std::collections::BTreeMap;
use std::path::Path;

use assert_cmd::Command;
use candle_core::quantized::gguf_file::{self, Content, Value};
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
fn changed(change: impl FnOnce(&Path)) -> tempfile::TempDir {
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

fn view((dtype, shape, data): &(Dtype, Vec<usize>, Vec<u8>)) -> TensorView<'_> {
    TensorView::new(*dtype, shape.clone(), data).unwrap()
}

fn edit_file(path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    edit(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

const Q: &str = "model.layers.1.self_attn.q_proj.weight";

#[test]
fn a_model_that_is_not_there() {
    refuses_model(Path::new("/nowhere/model.gguf"), &["/nowhere/model.gguf", "no such file"]);
    refuses_model(Path::new("no-such-name"), &["no-such-name"]);
    refuses_model(Path::new("org/name"), &["org/name", "hub"]);
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().to_str().unwrap();
    let mut command = kscope();
    command.env("XDG_CACHE_HOME", cache).args(["run", "--model", "smollm2-135m", "--prompt", "x"]);
    refuses(&mut command, &["smollm2-135m", "kscope fetch smollm2-135m"]);
}

#[test]
fn a_file_that_is_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let (text, gguf) = (folder.path().join("notes.txt"), folder.path().join("notes.gguf"));
    std::fs::write(&text, "hello").unwrap();
    std::fs::write(&gguf, "hello").unwrap();
    refuses_model(&text, &["notes.txt", "config.json", ".gguf"]);
    refuses_model(&gguf, &["notes.gguf"]);
    std::fs::write(&gguf, "").unwrap();
    refuses_model(&gguf, &["notes.gguf"]);
}

#[test]
fn a_folder_without_its_files() {
    let folder = changed(|folder| std::fs::remove_file(folder.join("config.json")).unwrap());
    refuses_model(folder.path(), &[folder.path().to_str().unwrap(), "config.json"]);
    let folder = changed(|folder| std::fs::remove_file(folder.join("model.safetensors")).unwrap());
    refuses_model(folder.path(), &["model.safetensors"]);
    let folder = tiny_folder("qwen3");
    std::fs::remove_file(folder.path().join("model-00002-of-00002.safetensors")).unwrap();
    refuses_model(folder.path(), &["model-00002-of-00002.safetensors"]);
}

#[test]
fn a_configuration_that_is_no_json_or_lacks_a_number() {
    let folder =
        changed(|folder| std::fs::write(folder.join("config.json"), "{ model: llama }").unwrap());
    refuses_model(folder.path(), &["config.json", "line 1"]);
    let folder =
        changed(|folder| std::fs::write(folder.join("config.json"), [0xff, 0xfe, b'{']).unwrap());
    refuses_model(folder.path(), &["config.json", "UTF-8"]);
    let folder = changed(|folder| std::fs::write(folder.join("config.json"), "[]").unwrap());
    refuses_model(folder.path(), &["config.json", "object"]);
    let folder =
        changed(|folder| edit_config(folder, "\"num_hidden_layers\"", "\"layers_hidden\""));
    refuses_model(folder.path(), &["config.json", "num_hidden_layers", "missing"]);
    for (from, to, word) in [
        ("\"hidden_size\": 48", "\"hidden_size\": -48", "hidden_size"),
        ("\"hidden_size\": 48", "\"hidden_size\": \"48\"", "hidden_size"),
        ("\"num_attention_heads\": 3", "\"num_attention_heads\": 0", "num_attention_heads"),
        ("\"num_key_value_heads\": 3", "\"num_key_value_heads\": 2", "KV heads"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 100000", "layers"),
        ("\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", "gelu"),
        ("\"max_position_embeddings\": 512", "\"max_position_embeddings\": 0", "context"),
        ("\"rope_theta\": 10000.0", "\"rope_theta\": -1", "theta"),
    ] {
        let folder = changed(|folder| edit_config(folder, from, to));
        refuses_model(folder.path(), &["config.json", word]);
    }
}

#[test]
fn an_unknown_architecture_or_rope_scaling_is_refused_by_name() {
    let folder = changed(|folder| {
        edit_config(folder, "\"model_type\": \"llama\"", "\"model_type\": \"mamba\"")
    });
    refuses_model(folder.path(), &["config.json", "`mamba`", "llama"]);
    for spelling in ["type", "rope_type"] {
        let to = format!("\"rope_scaling\": {{\"{spelling}\": \"su\", \"factor\": 2.0}}");
        let folder = changed(|folder| edit_config(folder, "\"rope_scaling\": null", &to));
        refuses_model(folder.path(), &["config.json", "`su`", "yarn"]);
    }
    let folder = changed(|folder| {
        edit_config(folder, "\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"linear\"}")
    });
    refuses_model(folder.path(), &["config.json", "`factor`", "missing"]);
    let gguf = changed_gguf("llama-linear", |metadata| {
        metadata.insert("llama.rope.scaling.type".to_owned(), Value::String("longrope".to_owned()));
    });
    refuses_model(&gguf.path().join("model.gguf"), &["model.gguf", "`longrope`", "yarn"]);
    let gguf = changed_gguf("llama-f32", |metadata| {
        metadata.insert("general.architecture".to_owned(), Value::String("mamba".to_owned()));
    });
    refuses_model(&gguf.path().join("model.gguf"), &["model.gguf", "`mamba`"]);
}

#[test]
fn safetensors_that_are_cut_short_or_lie_about_their_header() {
    let weights = |edit: fn(&mut Vec<u8>)| {
        changed(|folder| edit_file(&folder.join("model.safetensors"), edit))
    };
    for edit in [
        (|bytes| bytes.truncate(bytes.len() - 100)) as fn(&mut Vec<u8>),
        |bytes| bytes.truncate(100),
        |bytes| bytes.truncate(5),
        |bytes| bytes.clear(),
        |bytes| bytes[..8].copy_from_slice(&(1_u64 << 40).to_le_bytes()),
        |bytes| bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes()),
        |bytes| {
            let len = bytes.len() as u64;
            bytes[..8].copy_from_slice(&len.to_le_bytes());
        },
        |bytes| bytes[8] = b'[',
        |bytes| bytes[20] = 0xff,
    ] {
        refuses_model(weights(edit).path(), &["model.safetensors", "no whole safetensors file"]);
    }
}

#[test]
fn a_tensor_that_is_missing_misshapen_or_of_an_unknown_type_is_named() {
    let folder = changed(|folder| edit_weights(folder, |tensors| drop(tensors.remove(Q))));
    refuses_model(folder.path(), &[Q, "missing"]);
    let up = "model.layers.0.mlp.up_proj.weight";
    let folder =
        changed(|folder| edit_weights(folder, |tensors| tensors.get_mut(up).unwrap().1.reverse()));
    refuses_model(folder.path(), &["model.safetensors", up, "[48, 64]", "[64, 48]"]);
    let folder = changed(|folder| {
        edit_weights(folder, |tensors| tensors.get_mut("model.norm.weight").unwrap().1.push(1))
    });
    refuses_model(folder.path(), &["model.norm.weight", "[48, 1]", "[48]"]);
    let folder = changed(|folder| {
        edit_weights(folder, |tensors| tensors.get_mut(Q).unwrap().0 = Dtype::I32)
    });
    refuses_model(folder.path(), &["model.safetensors", Q, "I32", "F16"]);
    let folder = changed(|folder| {
        edit_file(&folder.join("model.safetensors"), |bytes| {
            let at = bytes.windows(5).position(|window| window == b"\"F32\"").unwrap();
            bytes[at..at + 5].copy_from_slice(b"\"Z32\"");
        });
    });
    refuses_model(folder.path(), &["model.safetensors", "Z32"]);
}

#[test]
fn a_weight_that_is_not_a_number_is_named() {
    for (name, value) in [
        (Q, f32::NAN),
        ("model.embed_tokens.weight", f32::INFINITY),
        ("model.norm.weight", f32::NAN),
    ] {
        let folder = changed(|folder| {
            edit_weights(folder, |tensors| {
                tensors.get_mut(name).unwrap().2[40..44].copy_from_slice(&value.to_le_bytes())
            });
        });
        refuses_model(folder.path(), &[folder.path().to_str().unwrap(), name, "not finite", "10"]);
    }
    let folder = changed(|folder| {
        edit_weights(folder, |tensors| {
            tensors.get_mut(Q).unwrap().2[..4].copy_from_slice(&1e6_f32.to_le_bytes())
        });
    });
    let model = folder.path().to_str().unwrap();
    refuses(
        kscope().args(["run", "--token-ids", "1", "--dtype", "f16", "--model", model]),
        &[Q, "range of f16", "bf16"],
    );
    let gguf = tempfile::tempdir().unwrap();
    let path = gguf.path().join("model.gguf");
    std::fs::copy(vectors().join("gguf/llama-f32.gguf"), &path).unwrap();
    edit_file(&path, |bytes| {
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    refuses_model(&path, &["model.gguf", "not finite", "weight"]);
}

/// A GGUF file of the vectors with other metadata.
pub(crate) fn changed_gguf(
    name: &str,
    change: impl FnOnce(&mut std::collections::HashMap<String, Value>),
) -> tempfile::TempDir {
    let mut file = std::fs::File::open(vectors().join(format!("gguf/{name}.gguf"))).unwrap();
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

#[test]
fn a_gguf_file_with_absurd_counts_or_cut_short() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let absurd = [u64::MAX, 1 << 62, 1 << 40, 1 << 20];
    let at = |offset: usize| move |value: u64| (offset, value.to_le_bytes().to_vec());
    // Tensors, metadata entries, the length of the first key.
    let mut edits: Vec<(usize, Vec<u8>)> =
        [8, 16, 24].into_iter().flat_map(|offset| absurd.map(at(offset))).collect();
    edits.push((4, 9_u32.to_le_bytes().to_vec()));
    for (offset, value) in edits {
        std::fs::copy(vectors().join("gguf/llama-q4_0.gguf"), &path).unwrap();
        edit_file(&path, |bytes| bytes[offset..offset + value.len()].copy_from_slice(&value));
        refuses_model(&path, &["model.gguf", "no readable GGUF file"]);
    }
    let whole = std::fs::read(vectors().join("gguf/llama-q4_0.gguf")).unwrap();
    for len in [3, 12, 20, 100, 5000] {
        std::fs::write(&path, &whole[..len]).unwrap();
        refuses_model(&path, &["model.gguf"]);
    }
    for missing in [1, 1000] {
        std::fs::write(&path, &whole[..whole.len() - missing]).unwrap();
        refuses_model(&path, &["model.gguf", "weight", "end of the file"]);
    }
}

#[test]
fn a_gguf_file_with_broken_metadata() {
    for (key, value, words) in [
        ("general.alignment", Some(Value::U32(0)), &["general.alignment", "0"][..]),
        ("llama.block_count", None, &["block_count", "missing"]),
        ("llama.block_count", Some(Value::U32(7)), &["blk.2", "missing"]),
        ("llama.feed_forward_length", Some(Value::U32(96)), &["ffn_gate", "shape", "96"]),
        ("llama.attention.head_count", Some(Value::U32(0)), &["heads"]),
        ("llama.rope.dimension_count", Some(Value::U32(8)), &["rotated channels"]),
        ("tokenizer.ggml.model", Some(Value::String("wordpiece".to_owned())), &["wordpiece"]),
        ("tokenizer.ggml.pre", Some(Value::String("martian".to_owned())), &["martian"]),
        ("tokenizer.ggml.tokens", None, &["tokens", "missing"]),
        (
            "tokenizer.ggml.merges",
            Some(Value::Array(vec![Value::String("zzz qqq".to_owned())])),
            &["merges"],
        ),
    ] {
        let folder = changed_gguf("llama-q4_0", |metadata| {
            match value {
                Some(value) => metadata.insert(key.to_owned(), value),
                None => metadata.remove(key),
            };
        });
        refuses_model(&folder.path().join("model.gguf"), &[&["model.gguf"], words].concat());
    }
}

#[test]
fn a_broken_tokenizer_file() {
    let folder = changed(|folder| std::fs::write(folder.join("tokenizer.json"), "{}").unwrap());
    refuses_model(folder.path(), &["tokenizer.json"]);
    let folder =
        changed(|folder| std::fs::write(folder.join("tokenizer_config.json"), "{").unwrap());
    refuses_model(folder.path(), &["tokenizer_config.json"]);
    let template = "{\"chat_template\": \"{% for %}\"}";
    let folder =
        changed(|folder| std::fs::write(folder.join("tokenizer_config.json"), template).unwrap());
    let model = folder.path().to_str().unwrap();
    refuses(kscope().args(["run", "--prompt", "the", "--model", model]), &["chat template"]);
    let template = "{\"chat_template\": \"{{ raise_exception('no users here') }}\"}";
    let folder =
        changed(|folder| std::fs::write(folder.join("tokenizer_config.json"), template).unwrap());
    let model = folder.path().to_str().unwrap();
    refuses(
        kscope().args(["run", "--prompt", "the", "--model", model]),
        &["chat template", "no users here", "--raw"],
    );
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap()
    };
    let folder = tiny_folder("llama");
    // The superuser may read everything. In that case the program runs as another user, from a
    // place that user can read.
    let program = folder.path().join("kscope");
    // Copied by another process: a child of another test may inherit what this one writes to, and
    // a program that is open for writing does not start.
    let copied =
        std::process::Command::new("cp").arg(env!("CARGO_BIN_EXE_kscope")).arg(&program).status();
    assert!(copied.unwrap().success());
    set(&program, 0o755);
    set(folder.path(), 0o755);
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        let path = folder.path().join(name);
        set(&path, 0o000);
        let mut command = std::process::Command::new(&program);
        if std::fs::File::open(&path).is_ok() {
            command.uid(65_534).gid(65_534);
        }
        command.args(["run", "--token-ids", "1", "--model", folder.path().to_str().unwrap()]);
        refuses(&mut Command::from_std(command), &[path.to_str().unwrap(), "denied"]);
        set(&path, 0o644);
    }
}

#[test]
fn a_prompt_that_cannot_be_used() {
    let folder = tiny_folder("llama");
    let model = folder.path().to_str().unwrap();
    let text = folder.path().join("prompt.txt");
    let run = || {
        let mut command = kscope();
        command.args(["run", "--model", model]);
        command
    };
    std::fs::write(&text, b"the \xff tide").unwrap();
    let file = text.to_str().unwrap();
    refuses(run().args(["--prompt-file", file]), &["prompt.txt", "UTF-8", "byte 4"]);
    refuses(run().write_stdin(&b"the \xff"[..]), &["standard input", "UTF-8"]);
    refuses(run().args(["--prompt-file", "/nowhere.txt"]), &["/nowhere.txt"]);
    refuses(run().args(["--prompt-file", model]), &[model, "directory"]);
    refuses(run().args(["--token-ids", "1,96"]), &["96", "vocabulary"]);
    refuses(run().args(["--token-ids", "1,5", "--force-ids", "4,4000"]), &["4000", "vocabulary"]);
    refuses(run().args(["--raw", "--prompt", ""]), &["empty"]);
    refuses(run().args(["--token-ids", "1,5,6", "--ctx", "2"]), &["3 tokens", "context of 2"]);
    refuses(run().args(["--token-ids", "1,5,6", "--ctx", "0"]), &["--ctx"]);
    refuses(run().args(["--token-ids", "1,5,6", "--ctx", "513"]), &["513", "512"]);
    let long: Vec<String> = std::iter::repeat_n("5".to_owned(), 513).collect();
    refuses(run().args(["--token-ids", &long.join(",")]), &["513 tokens", "512"]);
    std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    refuses(run().args(["--prompt", "the"]), &["no tokenizer", "--token-ids"]);
}

#[test]
fn sampling_and_device_flags_that_make_no_sense() {
    let folder = tiny_folder("llama");
    for (flag, value, word) in [
        ("--temperature", "-1", "temperature"),
        ("--temperature", "nan", "temperature"),
        ("--top-p", "0", "top-p"),
        ("--top-p", "1.5", "top-p"),
        ("--min-p", "2", "min-p"),
        ("--repeat-penalty", "0", "repeat penalty"),
        ("--batch", "0", "--batch"),
        ("--chunk", "0", "chunk"),
        ("--threads", "0", "--threads"),
    ] {
        let flag = format!("{flag}={value}");
        let model = folder.path().to_str().unwrap();
        refuses(kscope().args(["run", "--token-ids", "1", "--model", model, &flag]), &[word]);
    }
    // Errors of the argument parser have their own format; the first line is a sentence.
    let output = kscope()
        .args(["run", "--token-ids", "1", "--device", "tpu"])
        .output()
        .expect("kscope runs");
    let text = String::from_utf8_lossy(&output.stderr);
    let first = text.lines().next().unwrap_or_default();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        first.contains("'tpu'") && first.contains("must be auto, cpu, cuda or cuda:N"),
        "{text}"
    );
}

#[test]
fn control_characters_of_files_are_written_out_in_errors() {
    let shown = r"x\x1b[2J\x1b]52;c;AA\x07\x9b31m\u{202e}\ny";
    let hostile = r"x\u001b[2J\u001b]52;c;AA\u0007\u009b31m\u202e\ny";
    for (from, to) in [
        ("\"hidden_act\": \"silu\"", format!("\"hidden_act\": \"{hostile}\"")),
        ("\"model_type\": \"llama\"", format!("\"model_type\": \"{hostile}\"")),
    ] {
        let folder = changed(|folder| {
            let path = folder.join("config.json");
            let text = std::fs::read_to_string(&path).unwrap();
            let mut text = text.replace(from, &to);
            if from.contains("model_type") {
                text = text.replace("\"LlamaForCausalLM\"", &format!("\"{hostile}\""));
            }
            std::fs::write(path, text).unwrap();
        });
        let error = refuses(
            kscope().args(["model", "show", "-m", folder.path().to_str().unwrap()]),
            &[shown],
        );
        assert!(!error.chars().any(char::is_control), "{error:?}");
    }
    // What a template raises.
    let folder = changed(|folder| {
        let template = "{{ raise_exception('a\\x1b[31mb') }}";
        std::fs::write(folder.join("chat_template.jinja"), template).unwrap();
    });
    let path = folder.path().to_str().unwrap();
    refuses(kscope().args(["run", "-m", path, "--prompt", "x"]), &[r"a\x1b[31mb"]);
    // The name of the folder itself.
    let parent = tempfile::tempdir().unwrap();
    let named = parent.path().join("m\u{1b}[31m");
    std::fs::create_dir(&named).unwrap();
    for file in std::fs::read_dir(tiny_folder("llama").path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), named.join(file.file_name())).unwrap();
    }
    for json in [&[][..], &["--json"]] {
        let output = kscope()
            .args(["model", "show", "-m", named.to_str().unwrap()])
            .args(json)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("[31m") && !text.contains('\u{1b}'), "{text:?}");
    }
}

#[test]
fn a_template_that_cannot_be_compiled_is_an_error_only_when_it_is_used() {
    let folder = changed(|folder| {
        std::fs::write(folder.join("chat_template.jinja"), "{% unknown_tag %}").unwrap();
    });
    let path = folder.path().to_str().unwrap();
    for args in [
        &["model", "show", "-m", path][..],
        &["run", "-m", path, "--token-ids", "1,5", "--max-new", "1"],
        &["run", "-m", path, "--raw", "--prompt", "the", "--max-new", "1"],
    ] {
        let output = kscope().args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    refuses(
        kscope().args(["run", "-m", path, "--prompt", "the", "--max-new", "1"]),
        &["chat template", "unknown_tag", "--raw"],
    );
    // Nor does one that is no text.
    std::fs::write(folder.path().join("chat_template.jinja"), b"a\xff").unwrap();
    let shown = kscope().args(["model", "show", "-m", path]).output().unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    refuses(
        kscope().args(["run", "-m", path, "--prompt", "the", "--max-new", "1"]),
        &["chat_template.jinja", "--raw"],
    );
}

#[test]
fn among_named_templates_the_default_is_taken() {
    let show = |folder: &Path| {
        let tokenizer = kscope::model::tokenizer::Tokenizer::from_folder(folder).unwrap();
        tokenizer.template().unwrap().render(&[("user", "x")])
    };
    let config = |folder: &Path, template: serde_json::Value| {
        let config = serde_json::json!({"bos_token": "<s>", "chat_template": template});
        std::fs::write(folder.join("tokenizer_config.json"), config.to_string()).unwrap();
    };
    let named = serde_json::json!([
        {"name": "tool_use", "template": "tools"},
        {"name": "default", "template": "{{ bos_token }}plain"},
    ]);
    let folder = changed(|folder| config(folder, named));
    assert_eq!(show(folder.path()).unwrap(), "<s>plain");
    let folder =
        changed(|folder| config(folder, serde_json::json!({"rag": "r", "default": "by name"})));
    assert_eq!(show(folder.path()).unwrap(), "by name");
    let folder =
        changed(|folder| config(folder, serde_json::json!([{"name": "rag", "template": "r"}])));
    let error = show(folder.path()).unwrap_err().to_string();
    assert!(error.contains("`default`") && error.contains("rag"), "{error}");
    // Files win over the configuration.
    let folder = changed(|folder| {
        config(folder, serde_json::json!("from the configuration"));
        std::fs::write(folder.join("chat_template.jinja"), "from the file").unwrap();
        let others = folder.join("additional_chat_templates");
        std::fs::create_dir(&others).unwrap();
        std::fs::write(others.join("tool_use.jinja"), "tools").unwrap();
    });
    assert_eq!(show(folder.path()).unwrap(), "from the file");
}
