use std::time::UNIX_EPOCH;

use super::*;

fn rules(roots: &[&str], excludes: &[&str]) -> SnapshotRules {
    let all = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    SnapshotRules { roots: all(roots), excludes: all(excludes), ..SnapshotRules::default() }
}

fn entry(path: &str, kind: Kind) -> Entry {
    Entry {
        path: path.into(),
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        user: None,
        group: None,
        size: 0,
        modified: UNIX_EPOCH,
        changed: None,
        inode: 0,
        device: 0,
        links: 1,
    }
}

fn judged(rules: &Rules, root: &str, path: &str, kind: Kind) -> Option<Reason> {
    match rules.sieve(Path::new(root)).judge(&entry(path, kind)) {
        Verdict::Keep => None,
        Verdict::Leave(note) => Some(note.reason),
        Verdict::Below => panic!("{path}"),
    }
}

#[test]
fn malformed_rules_are_refused_by_field() {
    let many = vec!["/a"; MAX_ROOTS + 1];
    let hooks = |before: &[&str], seconds| QuiesceHooks {
        before: before.iter().map(ToString::to_string).collect(),
        after: Vec::new(),
        timeout: Some(prost_types::Duration { seconds, nanos: 0 }),
    };
    let with = |quiesce| SnapshotRules { quiesce: Some(quiesce), ..rules(&["/a"], &[]) };
    let long = "x".repeat(MAX_PATH + 1);
    for (given, field) in [
        (rules(&[], &[]), "rules.roots:"),
        (rules(&many, &[]), "rules.roots:"),
        (rules(&["a"], &[]), "rules.roots[0]"),
        (rules(&["/"], &[]), "rules.roots[0]"),
        (rules(&["/a/"], &[]), "rules.roots[0]"),
        (rules(&["/a", "/b/../c"], &[]), "rules.roots[1]"),
        (rules(&["/a\nb"], &[]), "rules.roots[0]"),
        (rules(&["/a", "/a/b"], &[]), "rules.roots[1]"),
        (rules(&["/a/b", "/a"], &[]), "rules.roots[1]"),
        (rules(&["/a", "/a"], &[]), "rules.roots[1]"),
        (rules(&["/root/.aws/sso/cache/x"], &[]), "rules.roots[0]"),
        (rules(&["/a"], &["ok", "[z-a]"]), "rules.excludes[1]"),
        (rules(&["/a"], &[" "]), "rules.excludes[0]"),
        (rules(&["/a"], &["a\nb"]), "rules.excludes[0]"),
        (rules(&["/a"], &[&long]), "rules.excludes[0]"),
        (rules(&["/a"], &["x"; MAX_EXCLUDES + 1]), "rules.excludes:"),
        (with(hooks(&[""], 1)), "rules.quiesce.before"),
        (with(hooks(&["true"], 0)), "rules.quiesce.timeout"),
        (with(hooks(&["true"], 601)), "rules.quiesce.timeout"),
    ] {
        let error = Rules::parse(Some(&given)).unwrap_err();
        assert!(error.message().starts_with(field), "{error} for {field}");
    }
    assert!(Rules::parse(None).is_err());
    let good = Rules::parse(Some(&rules(&["/b", "/a", "/a-b"], &[]))).unwrap();
    assert_eq!(good.roots, ["/a", "/a-b", "/b"].map(PathBuf::from));
    assert_eq!(good.first, Path::new("/b"));
}

#[test]
fn excludes_read_as_in_a_gitignore() {
    let given = rules(&["/w"], &["*.log", "!keep.log", "/target/", "deep/**/x"]);
    let rules = Rules::parse(Some(&given)).unwrap();
    for (path, kind, left) in [
        ("/w/a.log", Kind::File, true),
        ("/w/d/a.log", Kind::File, true),
        ("/w/keep.log", Kind::File, false),
        ("/w/target", Kind::Directory, true),
        ("/w/target", Kind::File, false),
        ("/w/d/target", Kind::Directory, false),
        ("/w/deep/1/2/x", Kind::File, true),
        ("/w", Kind::Directory, false),
    ] {
        let expected = left.then_some(Reason::Excluded);
        assert_eq!(judged(&rules, "/w", path, kind), expected, "{path}");
    }
    let mut sieve = rules.sieve(Path::new("/w"));
    let Verdict::Leave(note) = sieve.judge(&entry("/w/target", Kind::Directory)) else { panic!() };
    assert_eq!(note.detail, "excluded by /target/");
    assert_eq!(sieve.judge(&entry("/w/target/keep.log", Kind::File)), Verdict::Below);
    assert_eq!(sieve.judge(&entry("/w/target2", Kind::File)), Verdict::Keep);
}

#[test]
fn secrets_are_left_out_where_programs_look_for_them_and_nowhere_else() {
    let given = rules(&["/etc", "/home", "/root", "/sandbox", "/work"], &[]);
    let rules = Rules::parse(Some(&given)).unwrap();
    let (secret, machine) = (Some(Reason::Secret), Some(Reason::MachineBound));
    for (path, kind, expected) in [
        ("/etc/machine-id", Kind::File, machine),
        ("/etc/ssh/ssh_host_ed25519_key", Kind::File, machine),
        ("/etc/ssh/sshd_config", Kind::File, None),
        ("/home/coder/.ssh/id_ed25519", Kind::File, secret),
        ("/home/coder/.ssh/id_ed25519.pub", Kind::File, None),
        ("/home/coder/.ssh/known_hosts", Kind::File, None),
        ("/root/.aws/credentials", Kind::File, secret),
        ("/root/.aws/config", Kind::File, None),
        ("/sandbox/.claude/.credentials.json", Kind::File, secret),
        ("/sandbox/.claude/settings.json", Kind::File, None),
        ("/sandbox/.codex/auth.json", Kind::File, secret),
        ("/sandbox/.openclaw/identity", Kind::Directory, machine),
        ("/sandbox/.gnupg/private-keys-v1.d", Kind::Directory, secret),
        ("/work/.npmrc", Kind::File, secret),
        ("/work/repo/.npmrc", Kind::File, None),
        ("/sandbox/repo/tests/fixtures/.aws/credentials", Kind::File, None),
        ("/sandbox/repo/key.pem", Kind::File, None),
        ("/sandbox/id_rsa", Kind::File, None),
        ("/sandbox/dev", Kind::Device, Some(Reason::SpecialFile)),
    ] {
        let root = Path::new(path).components().take(2).collect::<PathBuf>();
        assert_eq!(judged(&rules, root.to_str().unwrap(), path, kind), expected, "{path}");
    }
}
