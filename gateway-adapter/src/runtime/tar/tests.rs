//! Streams of the system's `tar`, and what is left of them when they are damaged.

use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::time::UNIX_EPOCH;

use futures::stream;

use super::parse::pax_time;
use super::*;

fn reader(bytes: &[u8], piece: usize) -> Reader {
    let pieces: Vec<_> =
        bytes.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Reader::new(stream::iter(pieces).boxed(), Duration::from_mins(1))
}

/// Every member with its content.
async fn read(bytes: &[u8], piece: usize) -> Result<Vec<(Member, Vec<u8>)>, Fault> {
    let mut reader = reader(bytes, piece);
    let mut all = Vec::new();
    while let Some(member) = reader.next().await? {
        let mut content = Vec::new();
        while let Some(piece) = reader.piece().await? {
            content.extend_from_slice(&piece);
        }
        all.push((member, content));
    }
    Ok(all)
}

/// A small tree as the system's tar writes it.
fn archive(format: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let long = "n".repeat(200);
    std::fs::create_dir(dir.path().join("d")).unwrap();
    std::fs::write(dir.path().join("d/one"), vec![7_u8; 1000]).unwrap();
    std::fs::write(dir.path().join(&long), b"long").unwrap();
    std::fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"\xff\n")), b"odd").unwrap();
    std::fs::hard_link(dir.path().join("d/one"), dir.path().join("e-hard")).unwrap();
    std::os::unix::fs::symlink("d/one", dir.path().join("soft")).unwrap();
    let made = Command::new("tar")
        .args(["--sort=name", "--owner=7", "--group=8", "--mtime=@1234.5", "-C"])
        .arg(dir.path())
        .args([format, "-cf", "-", "."])
        .output()
        .unwrap();
    assert!(made.status.success());
    made.stdout
}

#[tokio::test]
async fn reads_what_tar_writes_in_pieces_of_any_size() {
    for (format, nanos) in [("--format=gnu", 0), ("--format=posix", 500_000_000)] {
        let bytes = archive(format);
        for piece in [1, 511, 4096, usize::MAX] {
            let members = read(&bytes, piece.min(bytes.len())).await.unwrap();
            let names: Vec<&[u8]> =
                members.iter().map(|(member, _)| member.path.as_slice()).collect();
            let long = format!("./{}", "n".repeat(200));
            let wanted: [&[u8]; 7] =
                [b".", b"./d", b"./d/one", b"./e-hard", long.as_bytes(), b"./soft", b"./\xff\n"];
            assert_eq!(names, wanted, "{format}, pieces of {piece}");
            let by = |name: &[u8]| members.iter().find(|(member, _)| member.path == name).unwrap();
            assert_eq!(by(b"./d/one").1, vec![7_u8; 1000]);
            assert_eq!(by(b"./\xff\n").1, b"odd");
            assert_eq!(by(b"./e-hard").0.link, b"./d/one");
            assert_eq!(by(b"./soft").0.link, b"d/one");
            let one = &by(b"./d/one").0;
            assert_eq!((one.uid, one.gid, one.mode & 0o400), (7, 8, 0o400));
            assert_eq!(one.modified, UNIX_EPOCH + Duration::new(1234, nanos), "{format}");
        }
    }
}

#[tokio::test]
async fn no_cut_stream_passes_for_a_whole_one() {
    let bytes = archive("--format=posix");
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let whole = end.next_multiple_of(BLOCK) + 2 * BLOCK;
    for len in (0..whole).step_by(97).chain((0..whole).step_by(BLOCK)) {
        assert!(read(&bytes[..len], 4096).await.is_err(), "cut at {len} of {whole}");
    }
    assert!(read(&bytes[..whole], 4096).await.is_ok(), "the end marker is the end");
}

#[tokio::test]
async fn a_flipped_header_byte_is_found() {
    let bytes = archive("--format=gnu");
    for at in [0, 100, 124, 150, 156, 300, 500] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x04;
        assert!(matches!(read(&damaged, 4096).await, Err(Fault::Malformed(_))), "byte {at}");
    }
}

#[tokio::test]
async fn what_is_written_is_what_is_read() {
    let (like, _) = read(&archive("--format=gnu"), 4096).await.unwrap().remove(2);
    for name in [b"f".to_vec(), vec![b'n'; 100], vec![b'n'; 101], vec![0xff; 511], vec![b'x'; 4000]]
    {
        let mut bytes = file_header(&name, 3, &like).to_vec();
        bytes.extend_from_slice(b"abc");
        bytes.resize(bytes.len() + 509, 0);
        bytes.extend_from_slice(&end_marker());
        let members = read(&bytes, 4096).await.unwrap();
        assert_eq!(members.len(), 1);
        assert_eq!((&members[0].0.path, members[0].1.as_slice()), (&name, b"abc".as_slice()));
        assert_eq!((members[0].0.mode, members[0].0.uid), (like.mode, like.uid));
    }
}

#[test]
fn times_before_1970_keep_their_sign() {
    let at = |text: &str| pax_time(text.as_bytes()).unwrap();
    assert_eq!(at("1.5"), UNIX_EPOCH + Duration::from_millis(1500));
    assert_eq!(at("-1.5"), UNIX_EPOCH - Duration::from_millis(1500));
    assert_eq!(at("-2"), UNIX_EPOCH - Duration::from_secs(2));
    assert!(pax_time(b"soon").is_err());
}
