use clap::{CommandFactory, Parser};

use super::*;

#[test]
fn the_commands_fit_together() {
    Cli::command().debug_assert();
}

#[test]
fn next_steps_of_the_services_can_be_typed() {
    let name = "gateways/g/workspaces/w/sandboxes/s";
    let snapshot = format!("gateways/g/snapshots/{}", "ab".repeat(32));
    for line in [
        format!("status {name}"),
        format!("recover {name}"),
        format!("adopt --rebind {name}"),
        format!("adopt --rebind --agent KIND {name}"),
        format!("recoveries list --sandbox {name} --open"),
        "gateways list".to_owned(),
        format!("verdict {name}"),
        format!("connect {name}"),
        format!("plan --destroy {name}"),
        format!("destroy {name} --accept-data-loss abc"),
        format!("plan {name} --path rebuild"),
        format!("plan {name} --path rebuild --snapshot {snapshot} --accept-data-loss abc"),
        format!("recover {name} --snapshot {snapshot}"),
        format!("recover {name} --path rebuild --accept-data-loss abc"),
        format!("rebuild {name}"),
        format!("rebuild {name} --accept-data-loss abc"),
        format!("rebuild {name} --snapshot {snapshot} --yes"),
        format!("snapshot create {name}"),
        format!("snapshot create {name} --channel exec --full"),
        format!("snapshot list {name}"),
        format!("snapshot list {name} --all"),
        "snapshot list --gateway g".to_owned(),
        format!("snapshot show {snapshot}"),
        format!("snapshot verify {snapshot}"),
        format!("snapshot diff {snapshot} {snapshot}"),
        format!("snapshot cat {snapshot} /sandbox/a"),
        format!("snapshot restore {name} --snapshot {snapshot} --yes"),
        format!("snapshot restore {name} --snapshot {snapshot} --to other"),
        format!("snapshot drill {name}"),
        format!("snapshot prune {name}"),
        format!("snapshot prune {name} --keep-last 1 --reclaim-space"),
        format!("snapshot delete {snapshot} {snapshot} --allow-last"),
        format!("snapshot rules {name} --snapshot-root /sandbox"),
        format!("snapshot rules {name} --snapshot-exclude *.log --clear interval"),
    ] {
        let parsed = Cli::try_parse_from(std::iter::once("salvor").chain(line.split(' ')));
        assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
    }
}

#[test]
fn a_global_option_may_stand_anywhere() {
    for line in [
        vec!["salvor", "--output", "json", "list"],
        vec!["salvor", "list", "--output=json"],
        vec!["salvor", "gateways", "list", "-o", "json"],
    ] {
        assert_eq!(Cli::try_parse_from(line).unwrap().global.output, Format::Json);
    }
}

#[test]
fn adopting_needs_to_know_what() {
    assert!(Cli::try_parse_from(["salvor", "adopt"]).is_err());
    assert!(Cli::try_parse_from(["salvor", "adopt", "--gateway", "g"]).is_ok());
    assert!(Cli::try_parse_from(["salvor", "adopt", "--all"]).is_ok());
    assert!(Cli::try_parse_from(["salvor", "adopt", "x", "--all"]).is_err());
}

#[test]
fn rules_are_of_one_sandbox_and_a_rebind_keeps_them() {
    for option in rules::OPTIONS {
        let option = format!("--{}", option.replace('_', "-"));
        let value =
            if option.contains("interval") || option.contains("timeout") { "1m" } else { "1" };
        let typed = |words: &[&str]| {
            let adopt = ["salvor", "adopt"].iter().chain(words);
            Cli::try_parse_from(adopt.copied().chain([option.as_str(), value])).is_ok()
        };
        assert!(typed(&["x"]), "{option}");
        assert!(!typed(&["x", "--rebind"]), "{option}");
        assert!(!typed(&["--all"]), "{option}");
    }
    assert!(Cli::try_parse_from(["salvor", "adopt", "x", "--keep-last", "-1"]).is_err());
}

#[test]
fn a_plan_for_a_destroy_has_no_source() {
    for more in [["--snapshot", "x"], ["--accept-data-loss", "x"], ["--path", "rebuild"]] {
        let typed = ["salvor", "plan", "x", "--destroy"].iter().chain(&more);
        assert!(Cli::try_parse_from(typed).is_err(), "{more:?}");
    }
}

#[test]
fn durations_have_units() {
    use std::time::Duration;

    assert_eq!(sandbox::duration("15s"), Ok(Duration::from_secs(15)));
    assert_eq!(sandbox::duration("2m"), Ok(Duration::from_mins(2)));
    for bad in ["", "15", "s", "-1s", "1d", "99999999999999999999s", "18446744073709551615h"] {
        assert!(sandbox::duration(bad).is_err(), "{bad}");
    }
}
