//! The plans in `masks/`, and the masks that are cut by sensitivity: what they say of themselves is
//! true, and their sensitivity makes them.

use std::path::{Path, PathBuf};

use kscope::mask::files::{self, MaskFile, Split};
use kscope::mask::select::{AllocationOptions, AllocationTarget, allocate};
use kscope::mask::{Width, Window, fingerprint};
use kscope::model::arch::known_config;

/// Per cent of a dense f16 cache.
const BYTES: [usize; 5] = [41, 28, 20, 14, 10];
/// Masks cut by sensitivity: per cent, and the most that was asked for.
const MASKS: [(usize, f64); 4] = [(75, 0.7494), (61, 0.6105), (48, 0.48), (35, 0.35)];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("masks")
}

fn shipped(name: &str) -> MaskFile {
    let path = folder().join(format!("smollm2-135m-{name}.safetensors"));
    let name = path.display().to_string();
    files::read(&path, &Split::default()).unwrap().into_mask(&name).unwrap()
}

fn shipped_plan(bytes: usize) -> MaskFile {
    shipped(&format!("bytes-{bytes}"))
}

#[test]
fn shipped_plans_belong_to_their_model_and_hold_their_bytes() {
    let config = known_config("smollm2-135m").unwrap();
    for bytes in BYTES {
        let file = shipped_plan(bytes);
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
    let first = shipped_plan(BYTES[0]).sensitivity;
    for bytes in BYTES {
        let file = shipped_plan(bytes);
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

/// All four come from one measurement, which knows no window but theirs.
#[test]
fn shipped_masks_by_sensitivity_follow_from_it_and_hold_their_bytes() {
    let config = known_config("smollm2-135m").unwrap();
    let first = shipped("75").sensitivity;
    for (name, most) in MASKS {
        let file = shipped(&name.to_string());
        let bound = fingerprint(&config.geometry());
        let fits = files::check(&file, &name.to_string(), config.mask_shape(), &bound).unwrap();
        assert!(fits.bound && fits.warnings.is_empty(), "{name}: {fits:?}");
        assert!(file.plan.is_mask() && file.sensitivity == first, "{name}");
        assert_eq!(file.origin.window, Window { sink: 16, recent: 128, chunk: 64 }, "{name}");
        let share = file.plan.bytes_share(file.origin.window.chunk);
        assert!(share <= most && share > most - 0.0005, "{name}: {share}");
        let widths = || vec![Width::Sixteen, Width::Zero];
        let options = AllocationOptions {
            align: file.origin.align,
            k_widths: widths(),
            v_widths: widths(),
            ..AllocationOptions::new(AllocationTarget::Share(most), file.plan.shape().head_dim)
        };
        let allocation = allocate(file.sensitivity.as_ref().unwrap(), &options).unwrap();
        assert_eq!(allocation.plan, file.plan, "{name}");
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
