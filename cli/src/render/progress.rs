//! How far something is, in one line; and amounts as people say them.

use std::time::Duration;

use indicatif::{DecimalBytes, HumanCount};
use salvor_proto::gateway::v1::Progress;
use salvor_proto::time::plain;

use super::{Look, Tone, clean, time};

/// An estimate beyond this says only that the rate has just been low.
const SENSIBLE: Duration = Duration::from_hours(24);

/// `reading  120/4,000 files  12.3 MB of 1.2 GB  11.8 MB/s  101s left`; what is not known is left out.
pub(crate) fn line(progress: &Progress, look: Look) -> String {
    let mut parts = vec![clean(&progress.stage)];
    match (progress.files_done, progress.files_total) {
        (0, 0) => {}
        (done, 0) => parts.push(format!("{} files", count(done))),
        (done, total) => parts.push(format!("{}/{} files", count(done), count(total))),
    }
    match (progress.bytes_done, progress.bytes_total) {
        (0, 0) => {}
        (done, 0) => parts.push(bytes(done)),
        (done, total) => parts.push(format!("{} of {}", bytes(done), bytes(total))),
    }
    if progress.bytes_per_second > 0 {
        parts.push(format!("{}/s", bytes(progress.bytes_per_second)));
    }
    if let Some(remaining) = progress.remaining.as_ref().map(plain).filter(|rest| *rest < SENSIBLE)
    {
        parts.push(format!("{} left", time::span(remaining)));
    }
    look.paint(Tone::Dim, parts.join("  ").trim_end())
}

/// How much is done, of how much: by bytes, or else by files; none while no total is known.
pub(crate) fn part(progress: &Progress) -> Option<(u64, u64)> {
    let by_bytes = (progress.bytes_done, progress.bytes_total);
    let by_files = (progress.files_done, progress.files_total);
    let (done, total) = [by_bytes, by_files].into_iter().find(|(_, total)| *total > 0)?;
    Some((done.min(total), total))
}

/// `12.30 MB`; powers of ten.
pub(crate) fn bytes(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
}

/// `4,000`.
pub(crate) fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_known_and_nothing_else() {
        let look = Look::plain(0);
        let whole = Progress {
            stage: "reading".into(),
            files_done: 120,
            files_total: 4_000,
            bytes_done: 12_300_000,
            bytes_total: 1_200_000_000,
            bytes_per_second: 11_800_000,
            remaining: Some(prost_types::Duration { seconds: 101, nanos: 0 }),
        };
        assert_eq!(
            line(&whole, look),
            "reading  120/4,000 files  12.30 MB of 1.20 GB  11.80 MB/s  101s left"
        );
        let idle = prost_types::Duration { seconds: 86_400, nanos: 0 };
        let idle = Progress { remaining: Some(idle), ..whole };
        assert!(line(&idle, look).ends_with("MB/s"), "a day is no estimate");
        let begun = Progress { stage: "reading".into(), files_done: 7, ..Progress::default() };
        assert_eq!(line(&begun, look), "reading  7 files");
        assert_eq!(line(&Progress { stage: "listing".into(), ..begun }, look), "listing  7 files");
        assert_eq!(line(&Progress::default(), look), "");
    }

    #[test]
    fn a_bar_needs_a_total_and_is_never_more_than_full() {
        assert_eq!(part(&Progress { files_done: 3, ..Progress::default() }), None);
        let files =
            Progress { files_done: 3, files_total: 4, bytes_done: 9, ..Progress::default() };
        assert_eq!(part(&files), Some((3, 4)));
        let grown = Progress { bytes_done: 9, bytes_total: 8, ..files };
        assert_eq!(part(&grown), Some((8, 8)));
    }
}
