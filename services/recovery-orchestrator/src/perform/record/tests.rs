use salvor_core::{id::SandboxPath, saga::Pending};

use super::*;

fn differs() -> Part {
    let path = SandboxPath("/sandbox/a".into());
    Part::Pending(vec![Pending::NotRestored { path, reason: "NOT_WRITTEN".into() }])
}

fn whole(name: &str) -> Part {
    Part::Restored { snapshot: name.into(), begun: salvor_core::Timestamp(1) }
}

/// What is owed after these restores, each with what was asked for.
fn owed(restores: &[(&Asked, &str, Part)]) -> Vec<String> {
    let mut record = pb::Sandbox::default();
    for (asked, from, data) in restores {
        note_restored(&mut record, asked, &(*from).into(), Some(data));
    }
    record.snapshot_status.unwrap().pending_restores
}

#[test]
fn a_snapshot_is_owed_from_until_it_came_back_whole_or_another_was_chosen() {
    let auto = Asked::default();
    let chosen = Asked { snapshot: Some("b".into()), ..Asked::default() };
    let part = Asked { paths: vec![SandboxPath("/sandbox/a".into())], ..chosen.clone() };
    let keeping = Asked { mode: RestoreMode::SkipExisting, ..chosen.clone() };
    let first = (&auto, "a", differs());
    assert_eq!(owed(std::slice::from_ref(&first)), ["a"]);
    assert_eq!(owed(&[first.clone(), first.clone()]), ["a"]);
    // The damaged workspace was captured whole and came back whole: "a" has what it lacks.
    assert_eq!(owed(&[first.clone(), (&auto, "b", whole("b"))]), ["a"]);
    assert_eq!(owed(&[first.clone(), (&auto, "b", differs())]), ["a", "b"]);
    for asked in [&part, &keeping] {
        assert_eq!(owed(&[first.clone(), (asked, "b", whole("b"))]), ["a"]);
    }
    assert_eq!(owed(&[first.clone(), (&auto, "a", whole("a"))]), [""; 0]);
    assert_eq!(owed(&[first, (&chosen, "b", whole("b"))]), [""; 0]);
}

#[test]
fn what_containers_could_not_give_is_not_owed_from_a_snapshot() {
    let why = salvor_core::saga::capture::NotSaved::Refused(salvor_core::saga::Cause::NotFound);
    let lost = Pending::NotSalvaged { containers: Vec::new(), why, instead: Some("a".into()) };
    assert_eq!(owed(&[(&Asked::default(), "a", Part::Pending(vec![lost]))]), [""; 0]);
}
