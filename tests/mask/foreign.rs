//! Files written by PyTorch and NumPy (tests/reference/foreign_masks.py) are read with the values
//! that Python wrote.

use std::collections::BTreeMap;

use kscope::mask::files::{self, Contents, Format, Split};
use kscope::mask::{Shape, Statistics, StatisticsSetting};

#[derive(serde::Deserialize)]
struct Foreign {
    shape: (usize, usize, usize),
    mask: Vec<u8>,
    alpha: Vec<f32>,
    /// File name -> `mask` or `alpha`.
    files: BTreeMap<String, String>,
}

fn foreign() -> Foreign {
    serde_json::from_str(&std::fs::read_to_string(super::vector("foreign.json")).unwrap()).unwrap()
}

const SPLIT: Split = Split { kv_heads: Some(2), head_dim: Some(8) };

#[test]
fn every_type_and_version_reads_as_python_wrote_it() {
    let Foreign { shape: (layers, kv_heads, head_dim), mask, alpha, files } = foreign();
    let shape = Shape { layers, kv_heads, head_dim };
    assert_eq!(files.len(), 21);
    for (name, kind) in files {
        match files::read(&super::vector(&name), &SPLIT).unwrap() {
            Contents::Mask(file) => {
                assert_eq!((kind.as_str(), file.mask().shape()), ("mask", shape), "{name}");
                assert_eq!(file.mask().bytes(), mask, "{name}");
            }
            Contents::Importance(file) => {
                assert_eq!((kind.as_str(), file.importance.shape()), ("alpha", shape), "{name}");
                assert_eq!(file.importance.scores(), alpha, "{name}");
            }
            Contents::Sensitivity(_) => panic!("{name}: a raw array holds no sensitivity"),
        }
    }
}

#[test]
fn a_layer_may_keep_nothing() {
    let file = files::read(&super::vector("mask-f32.pth"), &Split::default())
        .unwrap()
        .into_mask("f")
        .unwrap();
    let stats = Statistics::of(file.mask(), &StatisticsSetting { at: None, element_size: 2 });
    assert_eq!((stats.kept_per_layer[1], stats.dropped_heads_per_layer[1]), (0, 2));
}

#[test]
fn our_npy_is_numpy_s_to_the_byte() {
    for (name, prefer_importance) in [("mask-bool.npy", false), ("alpha-f4.npy", true)] {
        let written = std::fs::read(super::vector(name)).unwrap();
        let contents = files::parse(&written, name, &Split::default()).unwrap();
        assert_eq!(
            files::encode(&contents, Format::Npy, prefer_importance).unwrap(),
            written,
            "{name}"
        );
    }
}
