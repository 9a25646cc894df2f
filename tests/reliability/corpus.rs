//! What the fuzz targets found or began with (fuzz/), read again by the reader of each.

use kscope_testing::readers::READERS;
use kscope_testing::root;

use super::figure;

#[test]
fn inputs_of_the_fuzz_targets_panic_nowhere() {
    let (mut inputs, mut accepted) = (0, 0);
    for reader in &READERS {
        let folder = root().join("tests/corpus/fuzz").join(reader.name);
        let mut files: Vec<_> = std::fs::read_dir(&folder)
            .expect(reader.name)
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{} has no inputs", reader.name);
        for path in files {
            println!("{}", path.display());
            inputs += 1;
            accepted += usize::from((reader.read)(&std::fs::read(path).unwrap()));
        }
    }
    figure("inputs of the fuzz targets", format!("{inputs}, {accepted} accepted"));
    assert!(accepted > 0 && accepted < inputs, "{accepted} of {inputs}");
}
