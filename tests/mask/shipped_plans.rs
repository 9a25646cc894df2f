//! The plans in `masks/`: what they say of themselves is true, and their sensitivity makes them.

use std::path::{Path, PathBuf};

use kscope::mask::files::{self, MaskFile, Split};
use kscope::mask::select::{AllocationOptions, AllocationTarget, allocate};
use kscope::mask::{Window, fingerprint};
use kscope::model::arch::known_config;

/// Per cent of a dense f16 cache.
const BYTES: [usize; 5] = [41, 28, 20, 14, 10];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("masks")
}

fn shipped(bytes: usize) -> MaskFile {
    let path = folder().join(format!("smollm2-135m-bytes-{bytes}.safetensors"));
    let name = path.display().to_string();
    files::read(&path, &Split::default()).unwrap().into_mask(&name).unwrap()
}

#[test]
fn shipped_plans_belong_to_their_model_and_hold_their_bytes() {
    let config = known_config("smollm2-135m").unwrap();
    for bytes in BYTES {
        let file = shipped(bytes);
        let fits = files::check(
            &file,
            &format!("{bytes} %"),
            config.mask_shape(),
            &fingerprint(&config.geometry()),
        );
        let binding = fits.unwrap();
        assert!(binding.bound && binding.warnings.is_empty(), "{bytes} %: {binding:?}");
        assert!(!file.plan.is_mask());
        assert_eq!(file.origin.window, Window::CODED, "{bytes} %");
        let (share, most) = (file.plan.bytes_share(file.origin.window.chunk), bytes as f64 / 100.0);
        assert!(share <= most && share > most - 0.0005, "{bytes} %: {share}");
        assert_eq!(file.origin.recipe["selection"]["bytes"], most, "{bytes} %");
    }
}

/// All five come from one measurement.
#[test]
fn shipped_plans_follow_from_the_sensitivity_that_they_hold() {
    let first = shipped(BYTES[0]).sensitivity;
    for bytes in BYTES {
        let file = shipped(bytes);
        assert_eq!(file.sensitivity, first, "{bytes} %");
        let target = AllocationTarget::Share(bytes as f64 / 100.0);
        let options = AllocationOptions {
            align: file.origin.align,
            ..AllocationOptions::new(target, file.plan.shape().head_dim)
        };
        let allocation = allocate(file.sensitivity.as_ref().unwrap(), &options).unwrap();
        assert_eq!(allocation.plan, file.plan, "{bytes} %");
    }
}

#[test]
fn the_readme_lists_every_shipped_file() {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    for name in files.map(|name| name.into_string().unwrap()) {
        assert!(name == "README.md" || readme.contains(&format!("| `{name}` |")), "{name}");
    }
}
