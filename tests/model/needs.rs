//! How `KSCOPE_REQUIRE` is parsed.

use kscope_testing::needs::is_required;

#[test]
fn a_need_is_required_where_the_list_has_it_or_is_all() {
    for (list, model) in [
        ("", false),
        ("model", true),
        ("nvcc, model,", true),
        ("nvcc,tmux", false),
        ("all", true),
        ("cuda-build,published-masks", false),
    ] {
        assert_eq!(is_required(list, "model"), model, "{list:?}");
    }
}

#[test]
#[should_panic(expected = "`printer` is nothing that a test needs")]
fn an_unknown_need_is_named() {
    is_required("model,printer", "model");
}
