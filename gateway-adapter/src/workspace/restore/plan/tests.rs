use std::collections::HashSet;

use super::*;
use crate::workspace::compare;
use crate::workspace::tree::{Tree, sample};

/// `d`: a directory, `f`: a file, `l`: a link, `fN`: a name of file N; `!`: left out by rule.
fn entries(given: &[&str]) -> (Vec<Entry>, Vec<bool>) {
    let parsed = given.iter().map(|text| {
        let (kind, path) = text.split_once(' ').unwrap();
        let mut entry = match kind.trim_end_matches('!').split_at(1) {
            ("d", _) => sample(path, Kind::Directory),
            ("l", _) => sample(path, Kind::Symlink("/elsewhere".into())),
            ("f", "") => sample(path, Kind::File),
            ("f", number) => {
                let inode = number.parse().unwrap();
                Entry { inode, links: 2, ..sample(path, Kind::File) }
            }
            other => panic!("{other:?}"),
        };
        entry.mode = if kind.starts_with('d') { 0o755 } else { 0o644 };
        (entry, kind.ends_with('!'))
    });
    parsed.unzip()
}

fn planned(held: &[&str], live: &[&str], mode: Mode, paths: &[&str], configs: &[&str]) -> Plan {
    let (entries_held, _) = entries(held);
    let (contents, digests) = (vec![None; held.len()], vec![None; held.len()]);
    let held = Held { tree: Tree::new(entries_held), contents, digests };
    let (entries_live, left) = entries(live);
    let tree = Tree::new(entries_live);
    let live = Live { tree, left, notes: Notes::default(), unreadable: HashSet::new() };
    let owned = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
    let (paths, roots) = (owned(paths), owned(&["/r"]));
    let scope = Scope::new(&held, &paths, &owned(configs));
    let states = compare::metadata(&held, &live, &roots);
    Plan::new((&held, &live), &scope, &states, (mode, &roots, &paths))
}

fn texts<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Vec<&'a str> {
    paths.into_iter().map(|path| path.to_str().unwrap()).collect()
}

fn failed(plan: &Plan) -> Vec<&str> {
    plan.failures.iter().map(|note| note.path.to_str().unwrap()).collect()
}

#[test]
fn every_directory_on_the_way_is_in_the_stream() {
    let held = ["d /r", "d /r/a", "d /r/a/b", "f /r/a/b/new", "d /r/c", "f /r/c/same"];
    let live = ["d /r", "d /r/a", "d /r/a/b", "d /r/c", "f /r/c/same"];
    let plan = planned(&held, &live, Mode::Replace, &[], &[]);
    assert_eq!(texts(plan.write.keys()), ["/r", "/r/a", "/r/a/b", "/r/a/b/new"]);
    assert_eq!((plan.wanted.len(), plan.skipped), (1, 5));
    assert!(plan.remove.is_empty() && plan.prepare.is_empty());
}

#[test]
fn what_is_not_held_goes_and_what_is_left_out_stays() {
    let held = ["d /r", "f /r/kept"];
    let live = [
        "d /r",
        "f! /r/cache",
        "d /r/gone",
        "f /r/gone/x",
        "f /r/kept",
        "d /r/mixed",
        "f! /r/mixed/secret",
        "f /r/mixed/x",
    ];
    let plan = planned(&held, &live, Mode::Replace, &[], &[]);
    assert_eq!(texts(&plan.remove), ["/r/gone", "/r/mixed/x"]);
    assert_eq!(plan.removed.len(), 3);
    let plan = planned(&held, &live, Mode::SkipExisting, &[], &[]);
    assert!(plan.remove.is_empty() && plan.write.is_empty());
}

#[test]
fn another_type_makes_room_unless_it_holds_what_is_left_out() {
    let held = ["d /r", "f /r/a", "d /r/b", "f /r/b/x", "f /r/c"];
    let live = ["d /r", "d /r/a", "f /r/a/in", "l /r/b", "d /r/c", "f! /r/c/secret"];
    let plan = planned(&held, &live, Mode::Replace, &[], &[]);
    assert_eq!(texts(&plan.remove), ["/r/a", "/r/b"]);
    assert_eq!(texts(plan.write.keys()), ["/r", "/r/a", "/r/b", "/r/b/x"]);
    assert_eq!(failed(&plan), ["/r/c"]);
    // Without taking anything away, nothing behind the link can be written.
    let plan = planned(&held, &live, Mode::SkipExisting, &[], &[]);
    assert_eq!((failed(&plan), plan.write.len(), plan.skipped), (vec!["/r/b/x"], 0, 4));
}

#[test]
fn files_with_several_names_are_sent_once_and_together() {
    let held = ["d /r", "f7 /r/a", "f7 /r/b", "f7 /r/c"];
    let live = ["d /r", "f3 /r/a", "f3 /r/b"];
    let plan = planned(&held, &live, Mode::Replace, &[], &[]);
    let items: Vec<&Item> = plan.write.values().collect();
    assert_eq!(items[1..], [&Item::Held(1), &Item::Link(2, 1), &Item::Link(3, 1)]);
    assert_eq!((plan.wanted.len(), plan.skipped), (3, 1));
    let plan = planned(&held, &live, Mode::SkipExisting, &[], &[]);
    assert_eq!(plan.write.values().last(), Some(&Item::Held(3)));
    assert_eq!((plan.wanted.len(), plan.skipped), (1, 3));
}

#[test]
fn only_what_is_asked_for_is_touched_and_passed_directories_keep_what_they_are() {
    let held = ["d /r", "d /r/a", "f /r/a/x", "f /r/b"];
    let live = ["d /r", "f /r/a-extra", "d /r/a", "f /r/a/extra"];
    let plan = planned(&held, &live, Mode::Replace, &["/r/a"], &[]);
    assert_eq!(texts(&plan.remove), ["/r/a/extra"]);
    assert_eq!(texts(plan.write.keys()), ["/r", "/r/a", "/r/a/x"]);
    assert!(matches!(plan.write.values().next(), Some(Item::Passed(_))));
}

#[test]
fn config_files_are_merged_and_unknown_ones_are_the_runtimes() {
    let held = ["d /r", "d /r/app", "f /r/app/held"];
    let live = ["d /r", "d /r/new", "f /r/new/config"];
    let configs = ["/r/app/held", "/r/new/config"];
    let plan = planned(&held, &live, Mode::Replace, &[], &configs);
    assert!(plan.remove.is_empty(), "{plan:?}");
    assert_eq!(plan.merge, [2]);
    assert!(!plan.write.contains_key(Path::new("/r/app/held")));
    assert_eq!(texts(plan.prepare.keys()), ["/r", "/r/app"]);
    let plan = planned(&held, &live, Mode::MergeConfig, &[], &configs);
    assert_eq!((plan.merge.len(), plan.wanted.len()), (1, 0));
}

#[test]
fn a_closed_directory_is_opened_before_something_is_written_into_it() {
    let held = ["d /r", "d /r/closed", "f /r/closed/new"];
    let (mut entries_live, left) = entries(&["d /r", "d /r/closed"]);
    entries_live[1].mode = 0o500;
    let (entries_held, _) = entries(&held);
    let held =
        Held { tree: Tree::new(entries_held), contents: vec![None; 3], digests: vec![None; 3] };
    let tree = Tree::new(entries_live);
    let live = Live { tree, left, notes: Notes::default(), unreadable: HashSet::new() };
    let roots = [PathBuf::from("/r")];
    let scope = Scope::new(&held, &[], &[]);
    let states = compare::metadata(&held, &live, &roots);
    let plan = Plan::new((&held, &live), &scope, &states, (Mode::SkipExisting, &roots, &[]));
    let Some(Item::Passed(opened)) = plan.prepare.get(Path::new("/r/closed")) else { panic!() };
    assert_eq!(opened.mode, 0o700);
    let Some(Item::Passed(after)) = plan.write.get(Path::new("/r/closed")) else { panic!() };
    assert_eq!(after.mode, 0o500);
}
