//! Files of version 2, which hold plans, and sensitivity files.

use std::collections::BTreeMap;
use std::path::Path;

use kscope::mask::files::{self, Contents, Format, MaskFile, Origin, SensitivityFile, Split};
use kscope::mask::{CachePlan, Coding, Sensitivity, Shape, Width, Window, rules};
use proptest::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

const SHAPE: Shape = Shape { layers: 2, kv_heads: 2, head_dim: 4 };

fn origin() -> Origin {
    Origin {
        model: "tiny".into(),
        fingerprint: "ab".repeat(32),
        window: Window { sink: 4, recent: 8, chunk: 2 },
        align: 2,
        recipe: serde_json::json!({ "rule": "sensitivity" }),
    }
}

fn sensitivity(shape: Shape) -> Sensitivity {
    let table = |rows: usize| (0..4 * rows).map(|at| 1.0 / (at + 1) as f32).collect();
    Sensitivity::new(shape, table(shape.entries()), table(shape.heads())).unwrap()
}

fn plan() -> CachePlan {
    use Width::{Eight, Four, Sixteen, Two, Zero};
    let k = [[Eight, Four, Two, Zero], [Zero; 4], [Sixteen; 4], [Four, Zero, Zero, Sixteen]];
    let v = vec![Four, Zero, Sixteen, Two];
    CachePlan::new(SHAPE, k.concat(), v, Coding::Channels { v_group: 2 }).unwrap()
}

fn file() -> MaskFile {
    MaskFile {
        plan: plan(),
        importance: None,
        sensitivity: Some(sensitivity(SHAPE)),
        target_sparsity: None,
        origin: origin(),
    }
}

fn encoded(file: MaskFile) -> Vec<u8> {
    files::encode(&Contents::Mask(file), Format::Safetensors, false).unwrap()
}

/// The tensors and the metadata of a file, to be changed.
#[derive(Clone)]
struct Parts {
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
    metadata: std::collections::HashMap<String, String>,
}

/// Something that damages a file.
type Change = dyn Fn(&mut Parts);

impl Parts {
    fn of(bytes: &[u8]) -> Self {
        let tensors = SafeTensors::deserialize(bytes).unwrap();
        let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
        Self {
            tensors: tensors
                .iter()
                .map(|(name, view)| {
                    (name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
                })
                .collect(),
            metadata: header.metadata().clone().unwrap(),
        }
    }

    fn read(&self) -> kscope::Result<Contents> {
        let views = self.tensors.iter().map(|(name, (dtype, axes, bytes))| {
            (name, TensorView::new(*dtype, axes.clone(), bytes).unwrap())
        });
        let bytes = safetensors::serialize(views, Some(self.metadata.clone())).unwrap();
        files::parse(&bytes, "p.safetensors", &Split::default())
    }

    fn bytes(&mut self, tensor: &str) -> &mut Vec<u8> {
        &mut self.tensors.get_mut(tensor).unwrap().2
    }
}

#[test]
fn a_plan_has_version_2_and_readers_of_version_1_still_see_its_mask() {
    let bytes = encoded(file());
    let parts = Parts::of(&bytes);
    // A program that knows version 1 alone expects the text 1 here, and refuses any other.
    assert_eq!(parts.metadata["version"], "2");
    assert_eq!(parts.metadata["format"], "kscope-mask");
    assert_eq!(parts.metadata["v_group"], "2");
    let tensor = |name: &str| &parts.tensors[name];
    assert_eq!(
        *tensor("k_bits"),
        (Dtype::U8, vec![2, 2, 4], vec![8, 4, 2, 0, 0, 0, 0, 0, 16, 16, 16, 16, 4, 0, 0, 16])
    );
    assert_eq!(*tensor("v_bits"), (Dtype::U8, vec![2, 2], vec![4, 0, 16, 2]));
    let mask = vec![1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1];
    assert_eq!(*tensor("mask"), (Dtype::U8, vec![2, 2, 4], mask));
    assert_eq!(tensor("sensitivity_k").1, [2, 2, 4, 4]);
    assert_eq!(tensor("sensitivity_v").1, [2, 2, 4]);
    let read = files::parse(&bytes, "p", &Split::default()).unwrap();
    assert_eq!(read, Contents::Mask(file()));
    assert_eq!(encoded(read.into_mask("p").unwrap()), bytes);
}

#[test]
fn a_plan_of_16_and_0_bits_is_a_mask_of_version_1() {
    let mask = rules::slowest_first(SHAPE);
    let mask = kscope::mask::keep_counts(&mask, &[2, 0, 4, 1]);
    let plain = MaskFile {
        plan: CachePlan::of_mask(&mask),
        importance: None,
        sensitivity: None,
        target_sparsity: Some(0.5),
        origin: origin(),
    };
    let parts = Parts::of(&encoded(plain.clone()));
    assert_eq!(parts.metadata["version"], "1");
    assert_eq!(parts.tensors.keys().collect::<Vec<_>>(), ["mask"]);
    assert!(!parts.metadata.contains_key("v_group"));
    assert_eq!(parts.read().unwrap(), Contents::Mask(plain.clone()));
    let scored = MaskFile { sensitivity: Some(sensitivity(SHAPE)), ..plain };
    let parts = Parts::of(&encoded(scored.clone()));
    assert_eq!(parts.metadata["version"], "1");
    assert_eq!(parts.read().unwrap(), Contents::Mask(scored));
}

#[test]
fn the_shipped_masks_are_written_as_they_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("masks");
    let sizes = ["0.5", "0.7", "0.8", "75", "61", "48", "35"];
    let names = sizes.map(|size| format!("smollm2-135m-{size}"));
    for name in names.iter().map(String::as_str).chain(["demo"]) {
        let bytes = std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap();
        let contents = files::parse(&bytes, name, &Split::default()).unwrap();
        assert!(contents.clone().into_mask(name).unwrap().plan.is_mask());
        let again = files::encode(&contents, Format::Safetensors, false).unwrap();
        let (mut again, mut shipped) = (Parts::of(&again), Parts::of(&bytes));
        // Numbers of the recipe may lose their last digit when they are read.
        for parts in [&mut again, &mut shipped] {
            assert!(parts.metadata.remove("recipe").is_some());
        }
        assert_eq!(again.metadata, shipped.metadata, "{name}");
        assert!(again.tensors == shipped.tensors, "{name} has other tensors");
    }
}

#[test]
fn a_file_without_a_group_of_v_has_groups_of_32() {
    let mut parts = Parts::of(&encoded(file()));
    parts.metadata.remove("v_group");
    let read = parts.read().unwrap().into_mask("p").unwrap();
    assert_eq!(read.plan.coding(), Coding::Channels { v_group: 32 });
}

#[test]
fn a_header_of_any_length_is_recognised() {
    // 0x80 and 0x04 also begin a pickle, P and K a zip archive.
    for length in [0x480usize, 0x4b50] {
        let mut file = file();
        let header = |file: &MaskFile| {
            let bytes = encoded(file.clone());
            u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize
        };
        file.origin.model = String::new();
        file.origin.model = "m".repeat(length - header(&file));
        assert_eq!(header(&file), length);
        let read = files::parse(&encoded(file.clone()), "p", &Split::default()).unwrap();
        assert_eq!(read, Contents::Mask(file));
    }
}

#[test]
fn tensors_of_other_names_are_ignored() {
    let mut parts = Parts::of(&encoded(file()));
    parts.tensors.insert("notes".into(), (Dtype::U8, vec![1], vec![1]));
    assert_eq!(parts.read().unwrap(), Contents::Mask(file()));
}

#[test]
fn plans_that_contradict_themselves_are_refused_by_place() {
    let good = Parts::of(&encoded(file()));
    let refused = |change: &Change| {
        let mut parts = good.clone();
        change(&mut parts);
        let error = parts.read().unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        let sentence = error.to_string();
        assert!(sentence.starts_with("p.safetensors: "), "{sentence}");
        sentence
    };
    let cases: &[(&Change, &str)] = &[
        (
            &|parts| parts.bytes("k_bits")[14] = 3,
            "tensor k_bits, layer 1, KV head 1, channel 2: a width is 0, 2, 4, 8 or 16 bits, not 3",
        ),
        (
            &|parts| parts.bytes("v_bits")[2] = 1,
            "tensor v_bits, layer 1, KV head 0: a width is 0, 2, 4, 8 or 16 bits, not 1",
        ),
        (
            &|parts| parts.bytes("v_bits")[0] = 0,
            "layer 0, KV head 0 has 3 K channels but V of 0 bits",
        ),
        (&|parts| parts.bytes("v_bits")[1] = 8, "layer 0, KV head 1 has no K channel but V of 8"),
        (
            &|parts| parts.bytes("mask")[3] = 1,
            "layer 0, KV head 0, channel 3: k_bits is 0 and mask is 1",
        ),
        (
            &|parts| parts.bytes("mask")[12] = 0,
            "layer 1, KV head 1, channel 0: k_bits is 4 and mask is 0",
        ),
        (
            &|parts| parts.bytes("mask")[12] = 4,
            "tensor mask, layer 1, KV head 1, channel 0: expected 0 or 1, found 4",
        ),
        (
            &|parts| drop(parts.tensors.remove("v_bits")),
            "expected a tensor named v_bits, found none",
        ),
        (
            &|parts| drop(parts.tensors.remove("k_bits")),
            "expected a tensor named k_bits, found none",
        ),
        (&|parts| drop(parts.tensors.remove("mask")), "expected a tensor named mask, found none"),
        (
            &|parts| drop(parts.tensors.remove("sensitivity_v")),
            "expected a tensor named sensitivity_v, found none",
        ),
        (
            &|parts| parts.tensors.get_mut("k_bits").unwrap().0 = Dtype::I8,
            "tensor k_bits: expected type U8, found I8",
        ),
        (
            &|parts| parts.tensors.get_mut("v_bits").unwrap().1 = vec![4],
            "tensor v_bits: expected 2 axes (layers, KV heads), found [4]",
        ),
        (
            &|parts| parts.tensors.get_mut("v_bits").unwrap().1 = vec![4, 1],
            "tensor v_bits: expected the axes [2, 2] as in the mask, found [4, 1]",
        ),
        (
            &|parts| parts.tensors.get_mut("k_bits").unwrap().1 = vec![2, 1, 8],
            "tensor k_bits: expected the axes [2, 2, 4] as in the mask, found [2, 1, 8]",
        ),
        (
            &|parts| parts.bytes("sensitivity_k")[3] = 0xbf,
            "sensitivity of K, entry 0: expected a finite number of at least 0",
        ),
        (
            &|parts| parts.tensors.get_mut("sensitivity_k").unwrap().1 = vec![2, 2, 2, 8],
            "tensor sensitivity_k: expected the axes [2, 2, 2, 4]",
        ),
        (
            &|parts| {
                for (tensor, axes) in
                    [("sensitivity_k", vec![4, 1, 4, 4]), ("sensitivity_v", vec![4, 1, 4])]
                {
                    parts.tensors.get_mut(tensor).unwrap().1 = axes;
                }
            },
            "expected sensitivity of the mask's shape",
        ),
        (
            &|parts| drop(parts.metadata.insert("version".into(), "1".into())),
            "a file with a tensor k_bits has version 2",
        ),
        (
            &|parts| drop(parts.metadata.insert("version".into(), "3".into())),
            "metadata \"version\": expected 1 or 2, found \"3\"",
        ),
        (
            &|parts| drop(parts.metadata.insert("v_group".into(), "0".into())),
            "metadata \"v_group\": expected at least 1, found \"0\"",
        ),
        (
            &|parts| drop(parts.metadata.insert("v_group".into(), "x".into())),
            "metadata \"v_group\": expected a whole number, found \"x\"",
        ),
    ];
    for (change, expected) in cases {
        let sentence = refused(change);
        assert!(sentence.contains(expected), "expected {expected:?}, found {sentence:?}");
    }
}

#[test]
fn plans_of_another_model_are_refused() {
    let refused = |shape, fingerprint: &str| {
        let error = files::check(&file(), "p.safetensors", shape, fingerprint).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    };
    assert!(files::check(&file(), "p", SHAPE, &"ab".repeat(32)).unwrap().bound);
    assert!(refused(SHAPE, &"cd".repeat(32)).contains("found one for tiny (abababababab)"));
    let other = Shape { layers: 3, ..SHAPE };
    assert_eq!(
        refused(other, &"ab".repeat(32)),
        format!("p.safetensors: expected a plan of shape {other}, found {SHAPE}, made for tiny")
    );
}

#[test]
fn a_plan_with_widths_of_other_than_the_alignment_is_named_with_its_width() {
    let odd = file();
    let warnings = files::check(&odd, "p", SHAPE, &"ab".repeat(32)).unwrap().warnings;
    assert!(
        warnings[0].contains("layer 0, KV head 0 has 1 channels of 2 bits, expected a multiple of"),
        "{warnings:?}"
    );
    let mut even = file();
    even.origin.align = 1;
    assert!(files::check(&even, "p", SHAPE, &"ab".repeat(32)).unwrap().warnings.is_empty());
}

#[test]
fn sensitivity_files_return_everything_and_are_no_masks() {
    let contents = Contents::Sensitivity(SensitivityFile {
        sensitivity: sensitivity(SHAPE),
        origin: origin(),
    });
    let bytes = files::encode(&contents, Format::Safetensors, false).unwrap();
    assert_eq!(files::parse(&bytes, "s", &Split::default()).unwrap(), contents);
    let mut parts = Parts::of(&bytes);
    assert_eq!(parts.metadata["format"], "kscope-sensitivity");
    assert_eq!(parts.metadata["version"], "1");
    assert_eq!(parts.tensors.keys().collect::<Vec<_>>(), ["k", "v"]);
    assert!(contents.expect_importance("s").unwrap_err().to_string().contains("found sensitivity"));
    let error = contents.clone().into_mask("s").unwrap_err().to_string();
    assert!(error.contains("expected a mask, found sensitivity alone"), "{error}");
    let error = files::encode(&contents, Format::Npy, false).unwrap_err().to_string();
    assert!(error.contains("this file holds sensitivity"), "{error}");
    parts.tensors.remove("v");
    assert!(parts.read().unwrap_err().to_string().contains("expected a tensor named v"));
    parts.tensors.remove("k");
    assert!(parts.read().unwrap_err().to_string().contains("expected a tensor named k"));
}

#[test]
fn raw_arrays_do_not_hold_plans_and_named_blocks_have_no_file() {
    for format in [Format::Pth, Format::Npy, Format::Tsv] {
        let error = files::encode(&Contents::Mask(file()), format, false).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let sentence = error.to_string();
        assert!(sentence.contains("other widths than 16 and 0: export it to"), "{sentence}");
    }
    let shape = Shape { head_dim: 32, ..SHAPE };
    let blocks =
        MaskFile { plan: CachePlan::named("q4_0", shape).unwrap(), sensitivity: None, ..file() };
    let error =
        files::encode(&Contents::Mask(blocks), Format::Safetensors, false).unwrap_err().to_string();
    assert!(error.contains("--plan q8_0"), "{error}");
}

/// Any plan of a small shape.
fn any_plan() -> impl Strategy<Value = CachePlan> {
    (1usize..4, 1usize..3, 1usize..10, 1usize..5).prop_flat_map(
        |(layers, kv_heads, head_dim, v_group)| {
            let shape = Shape { layers, kv_heads, head_dim };
            let width = || prop::sample::select(Width::ALL.to_vec());
            let stored = prop::sample::select(Width::ALL[1..].to_vec());
            (
                prop::collection::vec(width(), shape.entries()),
                prop::collection::vec(stored, shape.heads()),
            )
                .prop_map(move |(k, mut v)| {
                    for (head, v) in k.chunks(head_dim).zip(&mut v) {
                        if head.iter().all(|&width| width == Width::Zero) {
                            *v = Width::Zero;
                        }
                    }
                    CachePlan::new(shape, k, v, Coding::Channels { v_group }).unwrap()
                })
        },
    )
}

proptest! {
    #[test]
    fn every_plan_returns_from_its_file(plan in any_plan(), scored in any::<bool>()) {
        let shape = plan.shape();
        let file = MaskFile {
            plan: plan.clone(),
            sensitivity: scored.then(|| sensitivity(shape)),
            ..file()
        };
        let read = files::parse(&encoded(file.clone()), "f", &Split::default()).unwrap();
        let read = read.into_mask("f").unwrap();
        prop_assert_eq!(read.plan.k_widths(), plan.k_widths());
        prop_assert_eq!(read.plan.v_widths(), plan.v_widths());
        // A mask has no codes, so how codes share scales is not written.
        if !plan.is_mask() {
            prop_assert_eq!(read, file);
        }
    }
}
