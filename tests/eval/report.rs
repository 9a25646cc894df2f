//! The page of a run.

use kscope_testing::{kscope, root};

use super::{demo_mask, eval, read, success};

#[test]
fn a_report_is_one_page_without_links_and_shows_text_as_text() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let text = folder.path().join("own<b>.txt");
    std::fs::write(&text, "The mill stood by the river. ".repeat(60)).unwrap();
    let text = text.display().to_string();
    let small = [
        "--suite",
        "all",
        "--tasks",
        "codes",
        "--ctx",
        "256",
        "--samples",
        "2",
        "--chunks",
        "1",
        "--text",
        &text,
        "--out",
        &at("run"),
    ];
    success(eval(&small));
    let report = |mask: &str| {
        let command = [
            "report",
            &at("run"),
            "--force",
            "--html",
            &at("page.html"),
            "--md",
            &at("page.md"),
            "--mask",
            mask,
        ];
        kscope().args(command).output().unwrap()
    };
    success(report(&demo_mask()));
    let page = std::fs::read_to_string(at("page.html")).unwrap();
    for part in [
        "<svg class=\"map\"",
        "<svg class=\"plot\"",
        "prefers-color-scheme:dark",
        "@media print",
        "name=\"viewport\"",
        "own&lt;b&gt;.txt",
        "kscope eval --model demo",
        "Dense against itself",
        concat!("kscope ", env!("CARGO_PKG_VERSION"), " of commit "),
    ] {
        assert!(page.to_lowercase().contains(&part.to_lowercase()), "{part} is missing");
    }
    for part in ["http:", "https:", "<script", "src=", "href=", "own<b>"] {
        assert!(!page.contains(part), "{part} is in the page");
    }
    for tag in ["table", "svg", "tr", "div", "p"] {
        let count = |text: String| page.matches(&text).count();
        let open = count(format!("<{tag}>")) + count(format!("<{tag} "));
        assert_eq!(open, count(format!("</{tag}>")), "{tag}");
    }
    let tables = std::fs::read_to_string(at("page.md")).unwrap();
    assert!(tables.contains("| task | ctx | mask |") && tables.contains("|---|"), "{tables}");

    // A mask that the run does not have is refused, and so is a file without results.
    let other = root().join("masks/smollm2-135m-0.5.safetensors").display().to_string();
    let refused = report(&other);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&refused.stderr)
            .contains("no mask of these results has its fingerprint")
    );
    let header = read(&folder.path().join("run")).lines().next().unwrap().to_owned() + "\n";
    std::fs::write(folder.path().join("run/results.jsonl"), header).unwrap();
    let empty = report(&demo_mask());
    assert_eq!(empty.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&empty.stderr).contains("holds no results yet"));
}
