//! What a file really is that is not what its name says: a pointer of git-lfs, a web page, an
//! archive.

/// What these bytes are, where they are something that often lies in a model file's place; ends a
/// sentence that names the file.
pub(in crate::model) fn mistaken(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return Some("it is empty".to_owned());
    }
    let begins = |magics: &[&[u8]]| magics.iter().any(|magic| bytes.starts_with(magic));
    let text = String::from_utf8_lossy(bytes.get(..1024).unwrap_or(bytes));
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let lower = text.get(..64).unwrap_or(text).to_ascii_lowercase();
    if text.starts_with("version https://git-lfs") || text.starts_with("version https://hawser") {
        let size = text.lines().find_map(|line| line.strip_prefix("size ")).map(str::trim);
        return Some(format!(
            "it is a git-lfs pointer, the note that stands for a file of {} bytes: `git lfs pull` gets the file itself",
            size.unwrap_or("unknown")
        ));
    }
    if lower.starts_with("# xet version") {
        return Some("it is a Xet pointer, the note that stands for the file itself".to_owned());
    }
    if lower.starts_with("/annex/objects/") || lower.contains(".git/annex/objects/") {
        return Some("it is a git-annex pointer: `git annex get` gets the file itself".to_owned());
    }
    if lower.starts_with("<!doctype") || lower.starts_with("<html") {
        return Some("it is a web page, saved in place of the file".to_owned());
    }
    let is_error =
        ["entry not found", "repository not found", "invalid username or password", "{\"error\""];
    if is_error.iter().any(|start| lower.starts_with(start)) {
        return Some("it is a server's error message, saved in place of the file".to_owned());
    }
    let what = if begins(&[b"GGUF"]) {
        "it is a GGUF file; give it by itself, with a name that ends in .gguf"
    } else if begins(&[b"lmgg", b"fmgg", b"tjgg", b"algg"]) {
        "it is a GGML file of the time before GGUF; llama.cpp's convert_llama_ggml_to_gguf.py converts it"
    } else if begins(&[b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"]) {
        "it is a PyTorch checkpoint (a pickle); only safetensors and GGUF are read"
    } else if begins(&[b"PK\x03\x04"]) {
        in_archive(bytes)
    } else if begins(&[b"\x93NUMPY"]) {
        "it is a NumPy array; only safetensors and GGUF are read"
    } else if bytes.get(257..262) == Some(b"ustar") {
        "it is an archive (tar); unpack it first"
    } else if begins(&[b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf"]) {
        "it is a compressed file; unpack it first"
    } else if begins(&[b"\x89HDF"]) {
        "it is an HDF5 file; only safetensors and GGUF are read"
    } else {
        return None;
    };
    Some(what.to_owned())
}

/// What a zip archive is, by the name of its first entry.
fn in_archive(bytes: &[u8]) -> &'static str {
    let length = bytes.get(26..).and_then(|rest| rest.first_chunk());
    let length = length.map_or(0, |two| usize::from(u16::from_le_bytes(*two)));
    match bytes.get(30..30 + length).unwrap_or_default() {
        name if name.ends_with(b".npy") => {
            "it is a NumPy archive; only safetensors and GGUF are read"
        }
        name if name.ends_with(b"data.pkl") || name.ends_with(b"/byteorder") => {
            "it is a PyTorch checkpoint (a pickle); only safetensors and GGUF are read"
        }
        _ => {
            "it is an archive (zip), perhaps a PyTorch checkpoint; only safetensors and GGUF are read"
        }
    }
}
