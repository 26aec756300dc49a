use clap::{CommandFactory, Parser};

use super::*;

#[test]
fn the_commands_fit_together() {
    Cli::command().debug_assert();
}

#[test]
fn next_steps_of_the_services_can_be_typed() {
    let name = "gateways/g/workspaces/w/sandboxes/s";
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
fn durations_have_units() {
    use std::time::Duration;

    assert_eq!(sandbox::duration("15s"), Ok(Duration::from_secs(15)));
    assert_eq!(sandbox::duration("2m"), Ok(Duration::from_mins(2)));
    for bad in ["", "15", "s", "-1s", "1d", "99999999999999999999s", "18446744073709551615h"] {
        assert!(sandbox::duration(bad).is_err(), "{bad}");
    }
}
