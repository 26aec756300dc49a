use std::process::Command as Process;

use super::*;

fn heard(stdout: &[u8], exit: Option<i32>) -> Heard {
    let mut heard = Heard { stdout: Tail::new(4096), stderr: Tail::new(4096), exit };
    heard.stdout.push(stdout);
    heard
}

fn end(stdout: &[u8], exit: Option<i32>) -> Result<Finished, (Class, String)> {
    ended(heard(stdout, exit), "M", Duration::from_secs(1))
}

#[test]
fn the_marker_is_believed_and_the_exit_event_is_not() {
    for exit in [Some(0), Some(1), Some(124), None] {
        let finished = end(b"noise\nok\nM 7\n", exit).unwrap();
        assert_eq!((finished.status, &finished.stdout[..]), (7, &b"noise\nok"[..]));
    }
}

#[test]
fn the_last_marker_counts() {
    assert_eq!(end(b"\nM 1\nmore\nM 0\n", None).unwrap().status, 0);
}

#[test]
fn without_a_whole_marker_nothing_is_known() {
    for stdout in ["", "M 0\n", "\nM 0", "\nM x\n", "\nM \n"] {
        let (class, _) = end(stdout.as_bytes(), Some(0)).unwrap_err();
        assert_eq!(class, Class::Unreadable, "{stdout:?}");
    }
    assert_eq!(end(b"", Some(124)).unwrap_err().0, Class::DeadlineExceeded);
}

#[test]
fn output_is_bounded_and_keeps_its_end() {
    let mut tail = Tail::new(4);
    for piece in [&b"abc"[..], b"defgh", b""] {
        tail.push(piece);
    }
    assert!(tail.cut);
    assert_eq!(tail.into_bytes(), b"efgh");
}

#[test]
fn the_wrapper_passes_arguments_literally_and_tells_the_true_status() {
    let odd = "a b\n$HOME *;'\"\\";
    let output = Process::new("/bin/sh")
        .args(["-c", WRAPPER, "M", "sh", "-c", "printf %s \"$1\"; exit 3", "sh", odd])
        .output()
        .unwrap();
    let finished = end(&output.stdout, None).unwrap();
    assert_eq!((finished.status, finished.stdout), (3, odd.as_bytes().to_vec()));
}

#[test]
fn what_people_see_is_printable_and_cut_on_a_character() {
    assert_eq!(printable(b"a\x1b[31mb\xff\n", 100), "a.[31mb\u{fffd}");
    assert_eq!(printable("ääää".as_bytes(), 3), "ä");
}

#[test]
fn arguments_over_the_vendors_limits_are_refused() {
    let one = |argument: &str| vec![argument.to_owned()];
    assert!(check(&one("true")).is_ok());
    for arguments in [
        vec![],
        one(""),
        one("a\0"),
        one(&"x".repeat(MAX_ARGUMENT + 1)),
        vec!["x".to_owned(); MAX_ARGUMENTS + 1],
        vec!["x".repeat(MAX_ARGUMENT); 7],
    ] {
        assert!(check(&arguments).is_err());
    }
}
