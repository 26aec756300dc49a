use proptest::prelude::*;

use super::*;

/// Monday, 6 July 2026, 12:00 UTC.
const NOW: u64 = 1_783_339_200_000;

fn held(name: &str, age: u64, complete: bool) -> Held {
    Held { name: name.into(), begun: NOW - age, complete, whole: true, in_use: false }
}

fn rules(last: i32, hourly: i32, daily: i32, weekly: i32) -> Retention {
    Retention { keep_last: last, keep_hourly: hourly, keep_daily: daily, keep_weekly: weekly }
}

fn kept(held: Vec<Held>, rules: &Retention) -> Vec<(String, Vec<String>)> {
    let verdicts = verdicts(held, rules, NOW).into_iter();
    verdicts.filter(|v| !v.because.is_empty()).map(|v| (v.name, v.because)).collect()
}

fn names(held: Vec<Held>, rules: &Retention) -> String {
    kept(held, rules).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_part_of_a_workspace_takes_no_place_of_the_whole() {
    let part = |name, age| Held { whole: false, ..held(name, age, true) };
    let history =
        || vec![part("a", 1), part("b", 2), held("c", 3, true), part("d", 4), held("e", 5, true)];
    for (last, expected) in [(1, "ac"), (2, "abce"), (3, "abcde")] {
        assert_eq!(names(history(), &rules(last, 0, 0, 0)), expected, "{last}");
    }
    // Nor does it stand for what an incomplete one may be all that is left of.
    assert_eq!(names(vec![part("a", 1), held("b", DAY_MS * 9, false)], &rules(1, 0, 0, 0)), "ab");
}

#[test]
fn each_rule_keeps_what_it_says() {
    const MIN: u64 = 60_000;
    let history = || {
        vec![
            held("a", 10 * MIN, true),
            held("b", 20 * MIN, true),
            held("c", 70 * MIN, true),
            held("d", HOUR_MS * 13, true),
            held("e", HOUR_MS * 14, true),
            held("f", DAY_MS * 3, true),
            held("g", DAY_MS * 8, true),
            held("h", DAY_MS * 9, true),
        ]
    };
    for (rules, expected) in [
        (rules(0, 0, 0, 0), "a"),
        (rules(1, 0, 0, 0), "a"),
        (rules(3, 0, 0, 0), "abc"),
        (rules(99, 0, 0, 0), "abcdefgh"),
        // 11:50 and 11:40 are one hour, 10:50 another.
        (rules(0, 2, 0, 0), "ac"),
        (rules(0, 3, 0, 0), "acd"),
        // The day before ends with 23:00.
        (rules(0, 0, 2, 0), "ad"),
        (rules(0, 0, 9, 0), "adfgh"),
        // This week began at midnight.
        (rules(0, 0, 0, 2), "ad"),
        (rules(0, 0, 0, 3), "adg"),
        (rules(2, 2, 2, 3), "abcdg"),
        (rules(-5, 0, 0, 0), "a"),
    ] {
        assert_eq!(names(history(), &rules), expected, "{rules:?}");
    }
    let because = kept(history(), &rules(2, 1, 0, 0));
    assert_eq!(because[0].1, ["newest complete one", "last 1", "hourly"]);
    assert_eq!(because[1].1, ["last 2"]);
}

#[test]
fn incomplete_ones_stay_while_they_may_be_of_use() {
    let rules = rules(1, 0, 0, 0);
    // Newer than any complete one.
    assert_eq!(names(vec![held("a", 1, false), held("b", 2, true)], &rules), "ab");
    // Nothing else is there, however old.
    assert_eq!(names(vec![held("a", DAY_MS * 99, false)], &rules), "a");
    // Older than a complete one: recent, too old, too many.
    let old = vec![held("a", 1, true), held("b", DAY_MS, false), held("c", DAY_MS * 8, false)];
    assert_eq!(names(old, &rules), "ab");
    let many = "bcdefgh".chars().enumerate();
    let many = many.map(|(n, name)| held(&name.to_string(), 10 + n as u64, false));
    assert_eq!(names(many.chain([held("a", 1, true)]).collect(), &rules), "abcdef");
}

#[test]
fn what_is_in_use_stays() {
    let used = |name: &str, age, complete| Held { in_use: true, ..held(name, age, complete) };
    let all = vec![
        held("a", 1, true),
        used("b", 2, true),
        held("c", 3, true),
        used("d", DAY_MS * 30, false),
        used("e", DAY_MS * 40, true),
    ];
    assert_eq!(names(all, &rules(1, 0, 0, 0)), "abde");
}

fn histories() -> impl Strategy<Value = Vec<Held>> {
    let weighted = prop::bool::weighted;
    let one = (0..DAY_MS * 60, any::<bool>(), weighted(0.7), weighted(0.2));
    prop::collection::vec(one, 0..40).prop_map(|all| {
        let held = all.into_iter().enumerate().map(|(n, (age, complete, whole, in_use))| Held {
            name: format!("{n:02}"),
            begun: NOW - age,
            complete,
            whole,
            in_use,
        });
        held.collect()
    })
}

proptest! {
    #[test]
    fn the_last_one_and_those_in_use_never_go(
        all in histories(),
        (last, hourly, daily, weekly) in (-1..5, -1..5, -1..5, -1..5),
    ) {
        let rules = rules(last, hourly, daily, weekly);
        let verdicts = verdicts(all.clone(), &rules, NOW);
        prop_assert_eq!(verdicts.len(), all.len());
        let goes = |held: &Held| {
            verdicts.iter().any(|verdict| verdict.name == held.name && verdict.because.is_empty())
        };
        let complete = || all.iter().filter(|held| held.complete);
        prop_assert!(!all.iter().any(|held| held.in_use && goes(held)));
        let age = |held: &&Held| (held.begun, held.name.clone());
        prop_assert!(!complete().max_by_key(age).is_some_and(goes));
        prop_assert!(!complete().filter(|held| held.whole).max_by_key(age).is_some_and(goes));
        // With nothing complete nothing goes.
        prop_assert!(complete().next().is_some() || !all.iter().any(goes));
        let kept = complete().filter(|held| !goes(held)).count();
        prop_assert!(kept >= complete().count().min(usize::try_from(last).unwrap_or(0)));
    }

    /// Pruning twice is pruning once, and what is kept does not depend on the order of the list.
    #[test]
    fn pruning_settles(mut all in histories(), keep in (0..4, 0..4, 0..4, 0..4)) {
        let rules = rules(keep.0, keep.1, keep.2, keep.3);
        let keepers = |all: &[Held]| -> Vec<String> {
            kept(all.to_vec(), &rules).into_iter().map(|(name, _)| name).collect()
        };
        let once = keepers(&all);
        all.reverse();
        prop_assert_eq!(&once, &keepers(&all));
        all.retain(|held| once.contains(&held.name));
        prop_assert_eq!(once, keepers(&all));
    }
}
