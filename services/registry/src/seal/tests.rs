use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::KeySource;

const ONE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222222222222222222222222222";

fn ring(text: &str) -> KeyRing {
    KeyRing::parse(text).unwrap()
}

#[test]
fn what_was_sealed_opens_in_its_own_context_only() {
    let ring = ring(ONE);
    let sealed = ring.seal(&[b"uid", b"spec"], b"TOKEN=hunter2").unwrap();
    assert_eq!(ring.open(&[b"uid", b"spec"], &sealed).unwrap(), b"TOKEN=hunter2");
    for other in [&[b"uid".as_slice(), b"policy"][..], &[b"uidspec"], &[b"uidsp", b"ec"], &[]] {
        assert!(matches!(ring.open(other, &sealed), Err(Error::Damaged)));
    }
    assert!(!format!("{ring:?}{sealed:?}").contains(ONE));
}

#[test]
fn every_flipped_bit_and_every_truncation_is_noticed() {
    let ring = ring(ONE);
    let sealed = ring.seal(&[b"c"], b"content").unwrap();
    for index in 0..sealed.bytes.len() {
        let mut altered = sealed.clone();
        altered.bytes[index] ^= 1;
        assert!(matches!(ring.open(&[b"c"], &altered), Err(Error::Damaged)), "{index}");
        altered.bytes.truncate(index);
        assert!(matches!(ring.open(&[b"c"], &altered), Err(Error::Damaged)), "{index}");
    }
}

#[test]
fn rotation_seals_with_the_first_key_and_opens_with_all() {
    let old = ring(ONE).seal(&[], b"old").unwrap();
    let rotated = ring(&format!("# new\n{TWO}\n{ONE} # old\n"));
    assert_eq!(rotated.open(&[], &old).unwrap(), b"old");
    let new = rotated.seal(&[], b"new").unwrap();
    let error = ring(ONE).open(&[], &new).unwrap_err();
    assert!(matches!(&error, Error::KeyMissing { key_id } if *key_id == new.key_id));
    assert!(
        rotated.holds(&old.key_id) && rotated.holds(&new.key_id) && !ring(ONE).holds(&new.key_id)
    );
}

#[test]
fn malformed_rings_are_refused_without_repeating_them() {
    for text in ["", "# nothing\n", "  ,"] {
        assert!(matches!(KeyRing::parse(text), Err(Error::Empty)), "{text:?}");
    }
    for text in ["secret".to_owned(), format!("{ONE},{}", &TWO[1..]), format!("{ONE}00")] {
        let error = KeyRing::parse(&text).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }));
        assert!(
            !error.to_string().contains("secret") && !error.to_string().contains("2222"),
            "{error}"
        );
    }
}

#[test]
fn an_absent_key_file_is_made_once_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys/seal.key");
    let strict = KeySource::File { path: path.clone(), create: false };
    assert!(matches!(load(&strict), Err(Error::File { action: "read", .. })));
    let lenient = KeySource::File { path: path.clone(), create: true };
    let first = load(&lenient).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let parent = std::fs::metadata(path.parent().unwrap()).unwrap();
    assert_eq!(parent.permissions().mode() & 0o777, 0o700);
    let sealed = first.seal(&[], b"kept").unwrap();
    assert_eq!(load(&lenient).unwrap().open(&[], &sealed).unwrap(), b"kept");
    assert_eq!(load(&strict).unwrap().open(&[], &sealed).unwrap(), b"kept");
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}
