use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn keys(texts: &[&str]) -> Vec<Key> {
    texts.iter().map(|text| Key::parse(text).unwrap()).collect()
}

fn merged(format: Format, owned: &[&str], snapshot: &str, live: &str) -> String {
    let merged = format.merge(&keys(owned), snapshot.as_bytes(), Some(live.as_bytes())).unwrap();
    String::from_utf8(merged.content).unwrap()
}

fn unmerged(format: Format, owned: &[&str], snapshot: &str, live: &str) -> String {
    let merged = format.merge(&keys(owned), snapshot.as_bytes(), Some(live.as_bytes()));
    merged.unwrap_err().to_string()
}

#[test]
fn keys_are_dotted_and_quoted_where_they_must_be() {
    for (text, path) in [
        ("a", vec!["a"]),
        ("a.b-c.d_1", vec!["a", "b-c", "d_1"]),
        (r#"a."b.c".d"#, vec!["a", "b.c", "d"]),
        (r#""q\"\\\u00e4".x"#, vec!["q\"\\ä", "x"]),
        (r#""""#, vec![""]),
        ("a b.ü", vec!["a b", "ü"]),
    ] {
        let key = Key::parse(text).unwrap();
        assert_eq!(key.path(), path, "{text}");
        assert_eq!(Key::parse(&key::text(key.path())).unwrap(), key);
    }
    for text in ["", ".", "a.", ".a", "a..b", "\"a", "\"a\"b", "a\"b\"", "\"\\x\""] {
        assert!(Key::parse(text).is_err(), "{text}");
    }
    assert!(Key::parse(&vec!["a"; 65].join(".")).is_err());
}

#[test]
fn json_takes_the_runtimes_keys_from_the_sandbox_and_keeps_the_rest_in_order() {
    let snapshot = r#"{"theme": "dark", "auth": {"token": "old", "user": "ann"},
        "n": 1.10, "big": 123456789012345678901234567890, "z": [1, {"k": null}], "gone": 1}"#;
    let live = r#"{"auth": {"token": "new", "user": "runtime"}, "device": {"id": "d1"}, "n": 2}"#;
    let owned = keys(&["auth.token", "device", "gone"]);
    let merged = Format::Json.merge(&owned, snapshot.as_bytes(), Some(live.as_bytes())).unwrap();
    let expected = r#"{
  "theme": "dark",
  "auth": {
    "token": "new",
    "user": "ann"
  },
  "n": 1.10,
  "big": 123456789012345678901234567890,
  "z": [
    1,
    {
      "k": null
    }
  ],
  "device": {
    "id": "d1"
  }
}"#;
    assert_eq!(String::from_utf8(merged.content.clone()).unwrap(), expected);
    assert_eq!(merged.restored, ["theme", "auth.user", "n", "big", "z"]);
    assert_eq!(merged.kept, ["auth.token", "gone"]);
    assert!(!format!("{merged:?}").contains("new"));
}

#[test]
fn yaml_and_toml_do_the_same() {
    let yaml = merged(
        Format::Yaml,
        &["auth.token", "device", r#"ports."8080""#],
        "theme: dark\nauth: {token: old, user: ann}\nlist: &l [1, 2]\nagain: *l\nports: {8080: a}\n",
        "auth: {token: 'no'}\ndevice: !d {id: 1}\nports: {8080: b}\n",
    );
    assert_eq!(
        yaml,
        "theme: dark\nauth:\n  token: \"no\"\n  user: ann\nlist:\n  - 1\n  - 2\nagain:\n  - 1\n  - 2\n\
         ports:\n  8080: b\ndevice: !d\n  id: 1\n"
    );
    let toml = merged(
        Format::Toml,
        &["auth.token", "device", "inline.x"],
        "# mine\ntheme = 'dark' # yes\ninline = { x = 1, y = 2 }\n[auth]\n# old one\ntoken = 'old'\nuser = 'ann'\n\n[[list]]\na = 1\n",
        "inline.x = 9\n[device]\nid = 1\n[[device.more]]\nk = 2\n[auth]\ntoken = 'new'\n",
    );
    assert_eq!(
        toml,
        "# mine\ntheme = 'dark' # yes\ninline = { x = 9, y = 2 }\n[auth]\n# old one\ntoken = 'new'\nuser = 'ann'\n\n\
         [[list]]\na = 1\n[device]\nid = 1\n[[device.more]]\nk = 2\n"
    );
}

#[test]
fn yaml_means_the_same_to_older_readers() {
    let kept = |snapshot: &str| merged(Format::Yaml, &["x"], snapshot, "x: 1\n");
    assert_eq!(
        kept("on: 12:30\noff: 'yes'\nd: 2020-01-01\nv: \"010\"\nt: \"a: b\"\nl: [[], {}, ~]\n"),
        "on: 12:30\noff: \"yes\"\nd: 2020-01-01\nv: \"010\"\nt: \"a: b\"\n\
         l:\n  - []\n  - {}\n  - null\nx: 1\n"
    );
    let why = unmerged(Format::Yaml, &["x"], "a: no\nb: 'no'\n", "x: 1\n");
    assert!(why.contains("bare and quoted"), "{why}");
}

#[test]
fn what_needs_no_change_stays_byte_for_byte() {
    for (format, text) in [
        (Format::Json, "{ \"a\" :1.0,\t\"b\":[ ] }\n\n"),
        (Format::Yaml, "# note\na:   &x 1\nb: *x\n"),
        (Format::Toml, "a   = 1 # note\n"),
    ] {
        assert_eq!(merged(format, &["a", "none.at.all"], text, text), text);
        assert_eq!(merged(format, &[], text, text), text);
    }
}

#[test]
fn without_a_live_file_the_runtimes_keys_are_left_out() {
    let owned = keys(&["a.b", "c"]);
    for (format, snapshot, expected) in [
        (Format::Json, r#"{"a":{"b":1,"d":2},"c":3}"#, r#"{"a":{"d":2}}"#),
        (Format::Yaml, "a: {b: 1, d: 2}\nc: 3\n", "a:\n  d: 2\n"),
        (Format::Toml, "c = 3\n[a]\nb = 1\nd = 2\n", "[a]\nd = 2\n"),
    ] {
        let merged = format.merge(&owned, snapshot.as_bytes(), None).unwrap();
        assert_eq!(String::from_utf8(merged.content).unwrap(), expected);
        let mut kept = merged.kept;
        kept.sort();
        assert_eq!((merged.restored, kept), (vec!["a.d".into()], vec!["a.b".into(), "c".into()]));
    }
}

#[test]
fn odd_files_are_refused_by_name_and_without_their_values() {
    use Format::{Json, Toml, Yaml};
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
    for (format, good, bad) in [
        (Json, "{}", "{\"secret\": hunter2}"),
        (Json, "{}", "{\"a\": 1, \"\\u0061\": \"hunter2\"}"),
        (Json, "{}", "[\"hunter2\"]"),
        (Json, "{}", ""),
        (Json, "{}", "{} {}"),
        (Json, "{}", "{\"a\": \"hunter2\", }"),
        (Json, "{}", &format!("{{\"a\":{deep}}}")),
        (Yaml, "{}", "secret: [hunter2"),
        (Yaml, "{}", "a: hunter2\na: hunter2\n"),
        (Yaml, "{}", "1: hunter2\n'1': hunter2\n"),
        (Yaml, "{}", "? [x]\n: hunter2\n"),
        (Yaml, "{}", "a: 1\n---\nb: hunter2\n"),
        (Yaml, "{}", "base: &b {t: hunter2}\na: {<<: *b}\n"),
        (Yaml, "{}", "a: *hunter2\n"),
        (Yaml, "{}", bomb),
        (Yaml, "{}", &deep),
        (Toml, "", "secret = hunter2"),
        (Toml, "", "a = 1\na = 'hunter2'\n"),
        (Toml, "", &format!("a = {deep}")),
    ] {
        for (snapshot, live, side) in [(good, bad, LIVE), (bad, good, OLD)] {
            let why = unmerged(format, &["a.b"], snapshot, live);
            assert!(why.starts_with(side), "{why}");
            assert!(!why.contains("hunter2") && why.len() < 200, "{why}");
        }
    }
    let binary = Json.merge(&[], b"{}", Some(b"{\"a\":\"\xff\"}")).unwrap_err();
    assert_eq!(binary.to_string(), "the sandbox's file is no UTF-8 text");
    let large = vec![b' '; usize::try_from(MAX_SIZE).unwrap() + 1];
    assert!(Json.merge(&[], &large, None).unwrap_err().to_string().contains("8388608 bytes"));
}

#[test]
fn a_users_value_on_the_way_to_a_runtimes_key_is_not_lost() {
    for (format, snapshot, live) in [
        (Format::Json, r#"{"a": [1]}"#, r#"{"a": {"b": 1}}"#),
        (Format::Json, r#"{"a": null}"#, r#"{"a": {"b": 1}}"#),
        (Format::Yaml, "a: text\n", "a: {b: 1}\n"),
        (Format::Toml, "a = 1\n", "a.b = 1\n"),
        (Format::Toml, "[[a]]\nb = 1\n", "a.b = 1\n"),
    ] {
        let why = unmerged(format, &["a.b"], snapshot, live);
        assert_eq!(why, "the snapshot's file has a value at a, and the runtime owns a.b in it");
    }
    // The other way round nothing is in the way: the runtime has no such key.
    assert_eq!(
        merged(Format::Json, &["a.b"], r#"{"a":{"b":1,"c":2}}"#, r#"{"a":7}"#),
        r#"{"a":{"c":2}}"#
    );
}

#[test]
fn differences_are_of_the_users_keys_alone() {
    let differ = |snapshot: &str, live: &str| {
        Format::Json.differing(&keys(&["auth"]), snapshot.as_bytes(), live.as_bytes()).unwrap()
    };
    let snapshot = r#"{"auth": 1, "a": {"b": [1, 2], "c": "x"}}"#;
    assert!(differ(snapshot, r#"{"a":{"c":"\u0078","b":[1,2]},"auth":2,"more":1}"#).is_empty());
    assert_eq!(differ(snapshot, r#"{"a": {"b": [2, 1]}}"#), ["a.b", "a.c"]);
}

/// Tables of few keys, so that two of them have some in common.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::from(1)),
        Just(Value::from(-2.5)),
        Just(Value::from(true)),
        "[a-z \"\\\\\n#:ü]{0,6}".prop_map(Value::from),
        proptest::collection::vec(0..9_u8, 0..3).prop_map(Value::from),
    ];
    let table = |inner: BoxedStrategy<Value>| {
        proptest::collection::btree_map("[abc.]|on|1", inner, 0..4)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
            .boxed()
    };
    let deeper = leaf.boxed().prop_recursive(3, 24, 4, move |inner| table(inner.boxed()));
    table(deeper.boxed())
}

fn owned() -> impl Strategy<Value = Vec<Key>> {
    let key = proptest::collection::vec("[abc.]|on|1", 1..3);
    let key = key.prop_map(|path| Key::parse(&key::text(&path)).unwrap());
    proptest::collection::vec(key, 0..4)
}

fn written(format: Format, tree: &Value) -> String {
    match format {
        Format::Json => serde_json::to_string(tree).unwrap(),
        Format::Yaml => serde_norway::to_string(tree).unwrap(),
        Format::Toml => ::toml::to_string(tree).unwrap(),
    }
}

fn looked(format: Format, content: &[u8]) -> Node {
    match format {
        Format::Json => seen::<json::Json>(content, OLD),
        Format::Yaml => seen::<yaml::Yaml>(content, OLD),
        Format::Toml => seen::<toml::Toml>(content, OLD),
    }
    .unwrap()
}

proptest! {
    #[test]
    fn the_laws_hold(
        format in prop_oneof![Just(Format::Json), Just(Format::Yaml), Just(Format::Toml)],
        snapshot in tree(),
        live in tree(),
        owned in owned(),
    ) {
        let (snapshot, live) = (written(format, &snapshot), written(format, &live));
        let (old, now) = (looked(format, snapshot.as_bytes()), looked(format, live.as_bytes()));
        let blocked = owned.iter().any(|key| now.at(key.path()).is_some() && passable(&old, key.path()).is_err());
        let Ok(merged) = format.merge(&owned, snapshot.as_bytes(), Some(live.as_bytes())) else {
            prop_assert!(blocked, "refused without a reason: {owned:?}\n{snapshot}\n{live}");
            return Ok(());
        };
        let result = looked(format, &merged.content);
        for key in &owned {
            let (found, wanted) = (result.at(key.path()), now.at(key.path()));
            prop_assert!(found.is_some() == wanted.is_some());
            prop_assert!(found.zip(wanted).is_none_or(|(found, wanted)| found.same(wanted)));
        }
        for (path, value) in old.leaves() {
            let listed = |list: &[String]| list.contains(&key::text(&path));
            let theirs = key::owns(&owned, &path);
            prop_assert!(listed(&merged.kept) == theirs && listed(&merged.restored) != theirs);
            if !theirs && !value.is_empty_table() {
                prop_assert!(result.at(&path).is_some_and(|found| found.same(value)));
            }
        }
        prop_assert!(format.differing(&owned, snapshot.as_bytes(), &merged.content).unwrap().is_empty());
        let again = format.merge(&owned, &merged.content, Some(live.as_bytes())).unwrap();
        prop_assert_eq!(again.content, merged.content);
    }
}
