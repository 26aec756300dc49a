//! Names: what parses is what is written, and nothing else parses.

use proptest::prelude::*;
use salvor_core::name::{Error, Gateway, GatewayName, RecordName, Sandbox, Workspace};

/// A well-formed label of at most `max` bytes: runs of letters and digits, joined by single dashes.
fn label(max: usize) -> impl Strategy<Value = String> {
    "[a-z0-9]{1,6}(-[a-z0-9]{1,6}){0,8}".prop_map(move |text| {
        let cut: String = text.chars().take(max).collect();
        cut.trim_end_matches('-').to_owned()
    })
}

/// The rules again, by hand.
fn well_formed(text: &str, max: usize) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=max).contains(&text.len())
        && text.chars().all(fine)
        && text.split('-').all(|run| !run.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_record_name_is_its_text(g in label(63), w in label(63), s in label(19)) {
        let text = format!("gateways/{g}/workspaces/{w}/sandboxes/{s}");
        let name: RecordName = text.parse().unwrap();
        prop_assert_eq!(name.to_string(), text.clone());
        prop_assert_eq!(name.gateway.as_str(), &g);
        prop_assert_eq!(name.workspace.as_str(), &w);
        prop_assert_eq!(name.sandbox.as_str(), &s);
        prop_assert_eq!(name.owner().to_string(), format!("gateways/{g}"));
        prop_assert_eq!(name.owner(), format!("gateways/{g}").parse::<GatewayName>().unwrap());
        let json = serde_json::to_string(&name).unwrap();
        prop_assert_eq!(&json, &format!("{text:?}"));
        prop_assert_eq!(serde_json::from_str::<RecordName>(&json).unwrap(), name);
    }

    /// Near misses and noise: accepted exactly when the rules say so, and then unchanged.
    #[test]
    fn a_label_is_accepted_exactly_by_the_rules(
        text in prop_oneof![
            "[a-z0-9-]{0,24}",
            "[a-zA-Z0-9_./ -]{0,24}",
            "\\PC{0,8}",
            "[a-z0-9]{60,66}",
        ]
    ) {
        prop_assert_eq!(text.parse::<Sandbox>().is_ok(), well_formed(&text, 19));
        prop_assert_eq!(text.parse::<Gateway>().is_ok(), well_formed(&text, 63));
        prop_assert_eq!(text.parse::<Workspace>().is_ok(), well_formed(&text, 63));
        if let Ok(name) = text.parse::<Sandbox>() {
            prop_assert_eq!(name.to_string(), text.clone());
        }
        // A stored name is checked like any other: nothing malformed comes in through a journal.
        let json = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(serde_json::from_str::<Sandbox>(&json).is_ok(), well_formed(&text, 19));
    }

    /// One segment more, one less, or one in another place is no record name.
    #[test]
    fn only_the_whole_form_is_a_record_name(s in label(19), drop in 0..6_usize, add in 0..6_usize) {
        let text = format!("gateways/g/workspaces/w/sandboxes/{s}");
        let parts: Vec<&str> = text.split('/').collect();
        let mut fewer = parts.clone();
        fewer.remove(drop);
        prop_assert!(matches!(fewer.join("/").parse::<RecordName>(), Err(Error::Form(_))));
        let mut more = parts;
        more.insert(add, "x");
        prop_assert!(matches!(more.join("/").parse::<RecordName>(), Err(Error::Form(_))));
    }
}

#[test]
fn the_longest_allowed_is_allowed_and_one_more_is_not() {
    for (max, fits) in [
        (19, |t: &str| t.parse::<Sandbox>().is_ok()),
        (63, |t: &str| t.parse::<Gateway>().is_ok() && t.parse::<Workspace>().is_ok()),
    ] as [(usize, fn(&str) -> bool); 2]
    {
        assert!(fits(&"a".repeat(max)));
        assert!(!fits(&"a".repeat(max + 1)));
    }
}
