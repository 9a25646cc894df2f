//! A Hugging Face folder with rows of zeros: its weights, and everything beside them that holds no
//! weights.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::ZeroRows;
use super::write::{Baked, Ranges, copy, expect_absent};
use crate::mask::files;
use crate::model::load::folder::weight_files;
use crate::model::load::safetensors::Checkpoint;
use crate::{Error, Result, error, input_file};

/// Endings of files that could hold the old weights, which other programs might then load.
const WEIGHTS: &[&str] = &[
    "safetensors",
    "bin",
    "pt",
    "pth",
    "ckpt",
    "gguf",
    "ggml",
    "h5",
    "msgpack",
    "npz",
    "onnx",
    "ot",
    "tflite",
    "mlmodel",
];

/// Writes the folder.
pub(super) fn write(
    from: &Path,
    rows: &ZeroRows,
    out: &Path,
    progress: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<Baked> {
    expect_absent(out)?;
    files::expect_folder(out)?;
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    expect_outside(from, parent, out)?;
    let shards = weight_files(from)?;
    let checkpoint = Checkpoint::open(from, shards.clone())?;
    let mut zeros = vec![Ranges::default(); shards.len()];
    for (name, rows) in rows.tensors() {
        for (shard, ranges) in checkpoint.row_ranges(name, rows)? {
            zeros[shard].add(ranges);
        }
    }
    let mut baked =
        Baked { zeroed_bytes: zeros.iter().map(Ranges::bytes).sum(), ..Baked::default() };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".kscope-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As far as the user's umask allows; temporary folders are private by default.
        builder.permissions(std::fs::Permissions::from_mode(0o777));
    }
    let place = builder.tempdir_in(parent).map_err(|cause| error::io("writing", parent, &cause))?;
    for path in beside(from, &mut baked.left_out)? {
        let name = path.file_name().unwrap_or_default();
        let to = place.path().join(name);
        let mut source = input_file::open(&path, input_file::WEIGHTS)?;
        let mut target = create(&to)?;
        std::io::copy(&mut source, &mut target)
            .map_err(|cause| error::io("writing", &to, &cause))?;
        sync(&target, &to)?;
        baked.files.push(out.join(name));
    }
    let total: usize = checkpoint.shard_bytes().map(<[u8]>::len).sum();
    let mut written = 0;
    for ((shard, bytes), zeros) in shards.iter().zip(checkpoint.shard_bytes()).zip(zeros) {
        let name = shard.file_name().unwrap_or_default();
        let to = place.path().join(name);
        let mut file = create(&to)?;
        copy(bytes, zeros, &mut file, &to, &mut |more| {
            written += more;
            progress(written as f32 / total as f32)
        })?;
        sync(&file, &to)?;
        baked.files.push(out.join(name));
    }
    // A folder that came meanwhile is refused by the system unless it is empty.
    std::fs::rename(place.path(), out).map_err(|cause| error::io("writing", out, &cause))?;
    let _ = place.keep();
    Ok(baked)
}

/// Refuses a folder inside the model's own, which would become a part of it.
fn expect_outside(from: &Path, parent: &Path, out: &Path) -> Result<()> {
    let real =
        |path: &Path| path.canonicalize().map_err(|cause| error::io("reading", path, &cause));
    match real(parent)?.starts_with(real(from)?) {
        true => Err(Error::input(format!(
            "{}: expected a name outside of the model's folder {}, found one in it",
            out.display(),
            from.display()
        ))),
        false => Ok(()),
    }
}

fn create(path: &Path) -> Result<File> {
    File::create_new(path).map_err(|cause| error::io("writing", path, &cause))
}

fn sync(file: &File, path: &Path) -> Result<()> {
    file.sync_all().map_err(|cause| error::io("writing", path, &cause))
}

/// The files beside the weights that are copied, sorted; names of all others go to `left_out`.
fn beside(folder: &Path, left_out: &mut Vec<String>) -> Result<Vec<PathBuf>> {
    let io = |cause: std::io::Error| error::io("reading", folder, &cause);
    let shards = weight_files(folder)?;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if shards.contains(&path) {
            continue;
        }
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let is_weights = ending.is_some_and(|ending| WEIGHTS.contains(&ending.as_str()));
        match path.is_file() && !is_weights {
            true => files.push(path),
            false => left_out.push(name_of(&path)?),
        }
    }
    files.sort();
    left_out.sort();
    Ok(files)
}

fn name_of(path: &Path) -> Result<String> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    name.ok_or_else(|| Error::run(format!("{} has no name", path.display())))
}
