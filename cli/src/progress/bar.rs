//! How far something is: a bar on a terminal, a line now and then otherwise.
//!
//! Invariant: what is drawn is what a service said last; nothing is counted or guessed here.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use salvor_proto::gateway::v1 as gateway;
use tokio::time::Instant;

use crate::output::Output;
use crate::render::{Tone, progress as render};

/// Between two plain lines about one stage.
const QUIET: Duration = Duration::from_secs(10);
/// Neither of bytes nor of files is the total known.
const SPINNER: &str = "{spinner} {msg} ({elapsed})";
const BAR: &str = "{spinner} {bar:24} {percent:>3}% {msg} ({elapsed})";

/// One line at the end of what was said, redrawn; plain lines where nothing can be redrawn.
pub(crate) struct Bar<'a> {
    output: &'a Output,
    drawn: Option<ProgressBar>,
    measured: bool,
    pace: Pace,
}

// === impl Bar ===

impl<'a> Bar<'a> {
    /// Nothing shown yet.
    pub(crate) fn new(output: &'a Output) -> Self {
        let drawn = output.is_live().then(|| {
            let bar = ProgressBar::new_spinner();
            style(&bar, SPINNER);
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { output, drawn, measured: false, pace: Pace::default() }
    }

    /// A line of its own, above the bar.
    pub(crate) fn line(&self, line: &str) {
        match &self.drawn {
            Some(bar) => bar.println(line),
            None => self.output.note(line),
        }
    }

    /// What is true now: `doing`, and how far it is, if that is known.
    pub(crate) fn show(&mut self, doing: &str, progress: Option<&gateway::Progress>) {
        let look = self.output.err_look();
        let said = progress.map(|progress| render::line(progress, look));
        let Some(bar) = &self.drawn else {
            if let (Some(progress), Some(said)) = (progress, said)
                && self.pace.is_due(&progress.stage, Instant::now())
            {
                self.output.note(&format!("  {said}"));
            }
            return;
        };
        let part = progress.and_then(render::part);
        if part.is_some() != self.measured {
            self.measured = part.is_some();
            style(bar, if self.measured { BAR } else { SPINNER });
        }
        if let Some((done, total)) = part {
            bar.set_length(total);
            bar.set_position(done);
        }
        let doing = look.paint(Tone::Dim, doing);
        bar.set_message(said.map_or(doing.clone(), |said| format!("{doing} {said}")));
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.drawn {
            bar.finish_and_clear();
        }
    }
}

fn style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

/// When the next plain line is due: at once for another stage, and else after a while.
#[derive(Default)]
struct Pace {
    last: Option<(String, Instant)>,
}

// === impl Pace ===

impl Pace {
    fn is_due(&mut self, stage: &str, now: Instant) -> bool {
        let told = self.last.as_ref();
        let due = told.is_none_or(|(last, at)| last != stage || now.duration_since(*at) >= QUIET);
        if due {
            self.last = Some((stage.to_owned(), now));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_comes_with_each_stage_and_not_too_often() {
        let (mut pace, begin) = (Pace::default(), Instant::now());
        let told: Vec<bool> = [
            ("reading", 0),
            ("reading", 1),
            ("verifying", 2),
            ("verifying", 11),
            ("verifying", 12),
        ]
        .map(|(stage, after)| pace.is_due(stage, begin + Duration::from_secs(after)))
        .to_vec();
        assert_eq!(told, [true, false, true, false, true]);
    }
}
