//! A drill that cannot fail is no drill.

use super::*;

fn report(intact: bool, nonce_found: Option<bool>) -> pb::VerifyReport {
    pb::VerifyReport { intact, nonce_found, ..pb::VerifyReport::default() }
}

fn nonce() -> pb::Nonce {
    pb::Nonce { path: "/sandbox/.nonce".into(), sha256: "00".repeat(32) }
}

fn count(event: RefillEvent) -> u64 {
    match event {
        RefillEvent::Compared { count, .. } => count,
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn a_nonce_that_was_sought_must_have_been_found() {
    let table = [
        (report(true, Some(true)), Some(nonce()), 0),
        (report(true, Some(false)), Some(nonce()), 1),
        // That nobody looked is not that it is there.
        (report(true, None), Some(nonce()), 1),
        (report(false, Some(false)), Some(nonce()), 2),
        (report(true, None), None, 0),
        (report(true, Some(false)), None, 0),
        (report(false, None), None, 1),
    ];
    for (report, sought, expected) in table {
        assert_eq!(count(compared(&report, sought)), expected, "{report:?}");
    }
}

#[test]
fn the_missing_nonce_is_named_first() {
    let problem =
        pb::PathNote { path: "/sandbox/a".into(), reason: "DIFFERS".into(), ..Default::default() };
    let report =
        pb::VerifyReport { problems: vec![problem], problem_count: 7, ..report(false, None) };
    let RefillEvent::Compared { differing, count } = compared(&report, Some(nonce())) else {
        unreachable!()
    };
    assert_eq!(
        (differing[0].reason.as_str(), differing[1].reason.as_str()),
        ("NONCE_MISSING", "DIFFERS")
    );
    assert_eq!(count, 8);
}
