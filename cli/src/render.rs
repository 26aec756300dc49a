//! Answers as text for people.
//!
//! Invariant: everything here is a function of a message and a [`Look`]; it asks nobody and prints nothing. Text that
//! came from elsewhere goes through [`clean`] before it reaches a terminal.

pub(crate) mod decision;
pub(crate) mod gateway;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod record;
pub(crate) mod recovery;
pub(crate) mod retirement;
pub(crate) mod snapshot;
pub(crate) mod status;
mod table;
mod time;
pub(crate) mod words;

use console::Style;

use crate::exit::Failure;

pub(crate) use table::table;

/// How text looks: whether it is coloured, and what time it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    color: bool,
    now: u64,
}

/// What a word is to tell at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// All is well.
    Good,
    /// Look at it.
    Warn,
    /// It is not well.
    Bad,
    /// Aside.
    Dim,
    /// The point.
    Strong,
    /// Nothing in particular.
    Plain,
}

// === impl Look ===

impl Look {
    /// At this moment.
    pub(crate) fn now(color: bool) -> Self {
        let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
        Self { color, now }
    }

    /// Without colour, at a given time in milliseconds.
    #[cfg(test)]
    pub(crate) const fn plain(now: u64) -> Self {
        Self { color: false, now }
    }

    /// `text` in a tone.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let style = match tone {
            Tone::Good => Style::new().green(),
            Tone::Warn => Style::new().yellow(),
            Tone::Bad => Style::new().red(),
            Tone::Dim => Style::new().dim(),
            Tone::Strong => Style::new().bold(),
            Tone::Plain => return text.to_owned(),
        };
        style.force_styling(self.color).apply_to(text).to_string()
    }
}

/// Text from elsewhere, without what could steer a terminal.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// `gateways/g/workspaces/w/sandboxes/s` as `g/w/s`; anything else as it is.
pub(crate) fn short(name: &str) -> String {
    let parts: Vec<&str> = name.split('/').collect();
    match parts[..] {
        ["gateways", gateway, "workspaces", workspace, "sandboxes", sandbox] => {
            format!("{gateway}/{workspace}/{sandbox}")
        }
        ["gateways" | "recoveries", last] => last.to_owned(),
        _ => name.to_owned(),
    }
}

/// A failure: what happened, guard by guard, and what to run next.
pub(crate) fn failure(failure: &Failure, look: Look) -> String {
    let mut text = format!(
        "{} {} {}\n",
        look.paint(Tone::Bad, "error:"),
        clean(&failure.message),
        look.paint(Tone::Dim, &format!("[{}]", failure.reason)),
    );
    for violation in &failure.violations {
        let mark = look.paint(Tone::Bad, "✗");
        text.extend([format!("  {mark} {}  {}\n", violation.guard, clean(&violation.description))]);
    }
    if !failure.recovery.is_empty() {
        let kept = format!("every decision: salvor decisions {}", failure.recovery);
        text.extend([look.paint(Tone::Dim, &kept), "\n".to_owned()]);
    }
    if !failure.next_step.is_empty() {
        text.push_str(&next(&failure.next_step, look));
    }
    text
}

/// The line that says what to run next.
pub(crate) fn next(step: &str, look: Look) -> String {
    format!("{} {}\n", look.paint(Tone::Strong, "next:"), clean(step))
}

#[cfg(test)]
mod tests;
