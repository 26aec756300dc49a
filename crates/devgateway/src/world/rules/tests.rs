//! The rules' texts are what clients read, so the tests compare them.

use super::*;

fn message(result: Outcome<()>) -> String {
    result.expect_err("a refusal").message
}

#[test]
fn names_follow_the_gateways_rules_and_say_which_one_broke() {
    for name in ["a", "1-a", "my-sandbox-0001", "abcdefghijklmnopqrs", ""] {
        assert_eq!(check_name(name, "name"), Ok(()), "{name}");
    }
    for (name, text) in [
        ("abcdefghijklmnopqrst", "name exceeds maximum length (20 > 19)"),
        ("Upper", "name must contain only lowercase alphanumeric characters or hyphens"),
        ("a_b", "name must contain only lowercase alphanumeric characters or hyphens"),
        ("-a", "name must not start or end with a hyphen"),
        ("a-", "name must not start or end with a hyphen"),
        ("a--b", "name must not contain consecutive hyphens"),
    ] {
        assert_eq!(message(check_name(name, "name")), text);
    }
}

#[test]
fn specs_are_bounded() {
    let spec = |change: fn(&mut look::SandboxSpec)| {
        let mut spec = look::SandboxSpec::default();
        change(&mut spec);
        check_spec(&spec)
    };
    assert_eq!(spec(|_| ()), Ok(()));
    assert_eq!(
        message(spec(|s| s.providers = vec!["p".to_owned(); 33])),
        "providers list exceeds maximum (33 > 32)"
    );
    assert!(
        message(spec(|s| s.policy = Some(vec![0; MAX_POLICY + 1])))
            .starts_with("policy serialized size exceeds maximum")
    );
    assert!(
        message(spec(|s| {
            s.environment.insert("OPENSHELL_X".to_owned(), String::new());
        }))
        .contains("reserved")
    );
    assert!(
        message(spec(|s| {
            s.environment.insert("A".to_owned(), "two\nlines".to_owned());
        }))
        .contains("newline")
    );
    assert_eq!(
        message(spec(|s| s.command = vec![String::new()])),
        "spec.command[0] must not be empty"
    );
    let platform = spec(|s| {
        s.template = Some(look::SandboxTemplate {
            runtime_class_name: "kata".to_owned(),
            ..Default::default()
        });
    });
    assert_eq!(
        message(platform),
        "docker compute driver does not support template.platform_config"
    );
}

#[test]
fn execs_are_bounded() {
    let none = BTreeMap::new();
    let command = |arguments: &[&str]| -> Vec<String> {
        arguments.iter().map(|&argument| argument.to_owned()).collect()
    };
    assert_eq!(check_exec(&command(&["sh", "-c", "a\nb"]), &none, "/sandbox"), Ok(()));
    assert_eq!(message(check_exec(&[], &none, "")), "command is required");
    assert_eq!(
        message(check_exec(&vec!["a".to_owned(); 1025], &none, "")),
        "command array exceeds 1024 argument limit"
    );
    assert_eq!(
        message(check_exec(&command(&["a\0"]), &none, "")),
        "command argument 0 contains null bytes"
    );
    let long = "x".repeat(MAX_ARG + 1);
    assert_eq!(
        message(check_exec(&command(&["a", &long]), &none, "")),
        "command argument 1 exceeds 32768 byte limit"
    );
    assert!(message(check_exec(&vec!["x".repeat(30_000); 9], &none, "")).contains("assembled"));
    assert!(message(check_exec(&command(&["a"]), &none, "a\nb")).starts_with("workdir contains"));
    let env = |key: &str| BTreeMap::from([(key.to_owned(), "v".to_owned())]);
    assert!(check_exec(&command(&["a"]), &env("OPENSHELL_PYFUNC_B64"), "").is_ok());
    assert!(check_exec(&command(&["a"]), &env("OPENSHELL_OTHER"), "").is_err());
    assert!(check_exec(&command(&["a"]), &env("1A"), "").is_err());
}
