//! The repository itself, held against every check.

use shardloom_tidy::{Tree, cycles, files, layers, places};

#[track_caller]
fn clean(check: fn(&Tree) -> Vec<String>) {
    let wrong = check(&Tree::of_repository().expect("the repository can be read"));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn each_heavy_library_is_named_by_one_crate() {
    clean(layers::strays);
}

#[test]
fn dependencies_point_one_way() {
    clean(layers::reversals);
}

#[test]
fn no_modules_need_each_other() {
    clean(cycles::circles);
}

#[test]
fn every_source_says_what_it_is_about() {
    clean(files::undocumented);
}

#[test]
fn every_source_has_a_name_of_its_own() {
    clean(files::empty_names);
}

#[test]
fn no_source_is_too_long() {
    clean(files::too_long);
}

#[test]
fn nothing_is_left_undone() {
    clean(files::loose_ends);
}

#[test]
fn no_text_knows_the_machine_it_was_written_on() {
    clean(places::traces);
}
