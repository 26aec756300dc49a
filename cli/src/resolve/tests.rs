use super::*;
use crate::exit::Exit;

#[test]
fn a_name_has_one_to_three_parts_or_is_full() {
    let full = "gateways/g/workspaces/w/sandboxes/s";
    for text in [full, "g/w/s"] {
        assert!(matches!(parse(text), Ok(Typed::Full(name)) if name.to_string() == full), "{text}");
    }
    assert!(matches!(parse("s"), Ok(Typed::Short { workspace: None, .. })));
    assert!(
        matches!(parse("w/s"), Ok(Typed::Short { workspace: Some(w), .. }) if w.as_str() == "w")
    );
}

#[test]
fn a_name_that_no_gateway_takes_is_refused_before_anyone_is_asked() {
    for text in ["", "A", "a/b/c/d", "-a", "w/", "gateways/g", "averyveryverylongname", "a%"] {
        let failure = parse(text).unwrap_err();
        assert_eq!((failure.exit, failure.reason.as_str()), (Exit::Usage, "BAD_NAME"), "{text:?}");
        assert!(failure.message.contains(&format!("{text:?}")));
    }
}

#[test]
fn a_similar_name_is_two_edits_away_at_most() {
    let fleet =
        ["gateways/g/workspaces/w/sandboxes/coder", "gateways/g/workspaces/w/sandboxes/web"];
    assert_eq!(similar("codre", fleet.into_iter()), Some(fleet[0]));
    assert_eq!(similar("wb", fleet.into_iter()), Some(fleet[1]));
    assert_eq!(similar("database", fleet.into_iter()), None);
}

#[test]
fn a_prefix_may_be_left_out_of_gateways_and_recoveries() {
    assert_eq!(gateway("lab").unwrap().to_string(), "gateways/lab");
    assert_eq!(gateway("gateways/lab").unwrap().to_string(), "gateways/lab");
    assert_eq!(gateway("La").unwrap_err().exit, Exit::Usage);
    assert_eq!(recovery("1"), "recoveries/1");
    assert_eq!(recovery("recoveries/1"), "recoveries/1");
}
