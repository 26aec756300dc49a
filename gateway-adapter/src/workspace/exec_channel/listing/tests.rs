use super::*;

const MARK: &str = "salvor-begin-1";

fn finished(status: i32) -> Finished {
    Finished { status, stdout: Vec::new(), stderr: b"find: oops".to_vec(), cut: false }
}

fn complaining(stderr: &[u8]) -> Finished {
    Finished { stderr: stderr.to_vec(), ..finished(1) }
}

fn record(flag: &str, name: &[u8], kind: &str, target: &[u8]) -> Vec<u8> {
    let rest = "7\x001700000000.1234567890\x00-2.5000000000\x0011\x0022\x004755\x001000\x00coder\x00\
                1001\x001001\x002\x00";
    [flag.as_bytes(), b"\0", name, b"\0", kind.as_bytes(), b"\0", rest.as_bytes(), target, b"\0"]
        .concat()
}

fn parsed(printed: &[u8], step: usize) -> Result<(Vec<Entry>, Parser), String> {
    let mut parser = Parser::new(MARK, Path::new("/r"));
    let mut entries = Vec::new();
    for piece in printed.chunks(step) {
        entries.extend(parser.push(&Bytes::copy_from_slice(piece))?);
    }
    Ok((entries, parser))
}

fn whole() -> Vec<u8> {
    [
        b"welcome\n\nsalvor-begin-0\n\nsalvor-begin-1\n".to_vec(),
        record(".", b"", "d", b""),
        record(".", b"a\nb \xff", "f", b""),
        record(".", b"l", "l", b"../../etc"),
        record("x", b"shut", "d", b""),
        record(".", b"p", "p", b""),
        record(".", b"s", "s", b""),
        record(".", b"c", "c", b""),
        b"salvor-begin-1\0bye".to_vec(),
    ]
    .concat()
}

#[test]
fn records_are_read_however_they_are_cut() {
    for step in [1, 7, 4096] {
        let (entries, parser) = parsed(&whole(), step).unwrap();
        let kinds: Vec<&Kind> = entries.iter().map(|entry| &entry.kind).collect();
        let link = Kind::Symlink("../../etc".into());
        let expected = [
            &Kind::Directory,
            &Kind::File,
            &link,
            &Kind::Directory,
            &Kind::Fifo,
            &Kind::Socket,
            &Kind::Device,
        ];
        assert_eq!(kinds, expected);
        assert_eq!(entries[0].path, Path::new("/r"));
        let file = &entries[1];
        assert_eq!(file.path.as_os_str().as_bytes(), b"/r/a\nb \xff");
        assert_eq!((file.size, file.mode, file.links), (7, 0o4755, 2));
        assert_eq!((file.uid, file.user.as_deref()), (1000, Some("coder")));
        assert_eq!((file.gid, file.group.as_deref()), (1001, None), "an id without a name");
        assert_eq!(file.modified, UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789));
        assert_eq!(file.changed, Some(UNIX_EPOCH - Duration::from_millis(1500)));
        assert_eq!((file.inode, file.device, entries[0].size), (11, 22, 0));
        let notes = parser.end(&complaining(b"find: './shut': Permission denied\n")).unwrap();
        assert_eq!(notes.len(), 1);
        assert_eq!(
            (notes[0].path.as_path(), notes[0].reason),
            (Path::new("/r/shut"), Reason::Unreadable)
        );
    }
}

#[test]
fn a_listing_that_is_cut_anywhere_is_not_whole() {
    let printed = whole();
    let end = printed.len() - b"\0bye".len();
    for length in (0..=end).step_by(3) {
        let problem = match parsed(&printed[..length], 4096) {
            Ok((_, parser)) => parser.end(&finished(0)).unwrap_err(),
            Err(problem) => problem,
        };
        assert!(problem.contains("find"), "{problem}");
    }
}

#[test]
fn an_error_that_names_no_entry_is_about_the_root() {
    let printed = [b"\nsalvor-begin-1\n", &record(".", b"", "d", b"")[..], b"salvor-begin-1\0"];
    let (_, parser) = parsed(&printed.concat(), 4096).unwrap();
    let notes = parser.end(&finished(1)).unwrap();
    assert_eq!(notes[0].path, Path::new("/r"));
    assert!(notes[0].detail.contains("oops"));
    let (_, parser) = parsed(&printed.concat(), 4096).unwrap();
    assert_eq!(parser.end(&finished(0)).unwrap(), []);
}

#[test]
fn what_is_no_record_ends_the_listing() {
    for wrong in [record("?", b"a", "f", b""), vec![b'.'; MAX_RECORD + 1]] {
        let printed = [&b"\nsalvor-begin-1\n"[..], &wrong].concat();
        assert!(parsed(&printed, 4096).is_err());
    }
}

#[test]
fn an_error_beside_what_may_not_be_read_is_about_the_root() {
    let said = "find: './shut': Permission denied\n";
    let below = "/usr/bin/find: './shut/odd\\n\\377\\'name': Permission denied\n";
    let roots = |stderr: &str, cut| {
        let (_, parser) = parsed(&whole(), 4096).unwrap();
        let notes = parser.end(&Finished { cut, ..complaining(stderr.as_bytes()) }).unwrap();
        assert_eq!(notes[0].path, Path::new("/r/shut"));
        notes.get(1).map(|note| (note.path.clone(), note.detail.clone()))
    };
    assert_eq!(roots(&format!("welcome\n{said}{below}"), false), None);
    for (lost, cut, says) in [
        ("find: './shutter': Input/output error\n", false, "'./shutter': Input/output error"),
        ("find: memory exhausted\n", false, "memory exhausted"),
        ("find: './shut: no closing quote\n", false, "no closing quote"),
        ("", true, "more than is kept"),
    ] {
        for stderr in [format!("{said}{lost}"), format!("{lost}{said}")] {
            let (path, detail) = roots(&stderr, cut).unwrap();
            assert_eq!(path, Path::new("/r"), "{stderr}");
            assert!(detail.contains(says), "{detail}");
        }
    }
    let (_, detail) = roots("welcome\n", false).unwrap();
    assert!(detail.contains("ended with 1"), "{detail}");
}

#[test]
fn a_find_that_was_killed_has_not_listed_everything() {
    for status in [2, 126, 137, 143] {
        let (_, parser) = parsed(&whole(), 4096).unwrap();
        let problem = parser.end(&finished(status)).unwrap_err();
        assert!(problem.contains(&status.to_string()), "{problem}");
    }
}

#[test]
fn a_name_that_leads_out_of_its_root_is_noted_and_given_to_nobody() {
    let names: [&[u8]; 5] = [b"../evil", b"/etc/shadow", b"d/../../up", b"d//x", b"./y/.."];
    let mut printed = b"\nsalvor-begin-1\n".to_vec();
    printed.extend(record(".", b"", "d", b""));
    for name in names {
        printed.extend(record(".", name, "f", b""));
    }
    printed.extend(record(".", b"..good", "f", b""));
    printed.extend(b"salvor-begin-1\0");
    let (entries, parser) = parsed(&printed, 4096).unwrap();
    let kept: Vec<&Path> = entries.iter().map(|entry| entry.path.as_path()).collect();
    assert_eq!(kept, [Path::new("/r"), Path::new("/r/..good")]);
    let notes = parser.end(&finished(0)).unwrap();
    assert!(notes.iter().all(|note| note.reason == Reason::LeavesRoot), "{notes:?}");
    let told: Vec<&str> = notes.iter().filter_map(|note| note.path.to_str()).collect();
    assert_eq!(told, ["/r/../evil", "/etc/shadow", "/r/d/../../up", "/r/d//x", "/r/y/.."]);
}
