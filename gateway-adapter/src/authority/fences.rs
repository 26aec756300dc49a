//! The highest fence token seen of each sandbox, in `fences.db` of the adapter's data directory.
//!
//! Invariant: what is in memory is on disk. The file belongs to one process at a time, and its size is bounded: tokens rise over
//! all names, so of the oldest ones their highest is enough. Deliberately absent: tokens in one's own favour. A file that cannot
//! be used refuses every effect, and is tried again at the next one.

mod file;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::next_step::NextStep;
use salvor_core::name::RecordName;
use salvor_proto::Error;
use salvor_proto::error::Code;
use uuid::Uuid;

use file::{File, Trouble};

/// Sandboxes whose tokens are kept one by one. Far more than one adapter has at work at a time. When there are as many, the
/// oldest tenth is given up at once.
const MAX: usize = 100_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Fences {
    /// Without one nothing outlives the process.
    directory: Option<PathBuf>,
    /// Held while something is written, so that memory never is ahead of the disk.
    file: tokio::sync::Mutex<Option<File>>,
    seen: Mutex<Seen>,
    max: usize,
}

/// What is on disk.
#[derive(Debug, Default)]
struct Seen {
    /// False until the file was read.
    read: bool,
    highest: HashMap<String, i64>,
    /// The highest token that was given up.
    floor: i64,
    /// Names this adapter's data, for good.
    instance: String,
}

// === impl Fences ===

impl Default for Fences {
    fn default() -> Self {
        Self::kept_in(None)
    }
}

impl Fences {
    /// Keeps them in a directory, whose file is opened at the first use.
    pub(crate) fn kept_in(directory: Option<PathBuf>) -> Self {
        let seen = match directory {
            Some(_) => Seen::default(),
            None => Seen { read: true, instance: instance(), ..Seen::default() },
        };
        Self { directory, file: tokio::sync::Mutex::default(), seen: Mutex::new(seen), max: MAX }
    }

    /// What names this adapter's data, the same after every restart.
    ///
    /// # Errors
    /// FENCES_UNUSABLE, DATA_IN_USE.
    pub(crate) async fn instance(&self) -> Result<String, Error> {
        let mut file = self.file.lock().await;
        self.open(&mut file).await?;
        Ok(self.seen().instance.clone())
    }

    /// Refuses a token that is older than one seen, and remembers it for good if it is newer.
    ///
    /// # Errors
    /// FENCED, FENCES_UNUSABLE, DATA_IN_USE.
    pub(crate) async fn raise(&self, target: &RecordName, token: i64) -> Result<(), Error> {
        let name = target.to_string();
        if self.seen().knows(&name, token) {
            return Ok(());
        }
        let mut file = self.file.lock().await;
        self.open(&mut file).await?;
        self.seen().check(&name, token)?;
        let floor = self.seen().oldest_if_full(self.max);
        if let Some(file) = file.as_ref() {
            let kept = file.keep(&name, token, floor).await;
            kept.map_err(|trouble| self.unusable(&trouble))?;
        }
        let mut seen = self.seen();
        if let Some(floor) = floor {
            seen.give_up(floor);
        }
        seen.put(name, token);
        Ok(())
    }

    /// Refuses a token that was raised and is not the newest any more.
    ///
    /// # Errors
    /// FENCED.
    pub(crate) fn check(&self, target: &RecordName, token: i64) -> Result<(), Error> {
        self.seen().check(&target.to_string(), token)
    }

    /// Leaves the file to another process. The next use opens it again.
    pub(crate) async fn close(&self) {
        if let Some(file) = self.file.lock().await.take() {
            self.seen().read = false;
            file.close().await;
        }
    }

    async fn open(&self, file: &mut Option<File>) -> Result<(), Error> {
        let Some(directory) = &self.directory else { return Ok(()) };
        if file.is_some() {
            return Ok(());
        }
        let (opened, kept) =
            File::open(directory).await.map_err(|trouble| self.unusable(&trouble))?;
        *self.seen() =
            Seen { read: true, highest: kept.highest, floor: kept.floor, instance: kept.instance };
        *file = Some(opened);
        Ok(())
    }

    fn unusable(&self, trouble: &Trouble) -> Error {
        let place = self.directory.as_deref().unwrap_or(std::path::Path::new("")).display();
        tracing::error!(%place, %trouble, "fence tokens cannot be kept; effects are refused");
        match trouble {
            Trouble::InUse => {
                let text = format!(
                    "another gateway-adapter runs on the data directory {place}; this one only \
                     reads. Nothing was sent to the gateway"
                );
                Error::new(Code::Unavailable, "DATA_IN_USE", text)
                    .next_step(NextStep::SeparateData.alone())
            }
            Trouble::Unusable(why) => {
                let text = format!(
                    "fences.db in {place} cannot be used ({why}), so an older holder could not be \
                     told from the newest: this adapter only reads. Nothing was sent to the gateway"
                );
                Error::new(Code::Unavailable, "FENCES_UNUSABLE", text)
                    .next_step(NextStep::MendFences.alone())
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Seen ===

impl Seen {
    /// Whether exactly this token is on disk already.
    fn knows(&self, name: &str, token: i64) -> bool {
        self.read && self.highest.get(name) == Some(&token)
    }

    fn check(&self, name: &str, token: i64) -> Result<(), Error> {
        let newest = match self.highest.get(name) {
            Some(highest) => *highest,
            // What was given up may have been this one's.
            None if self.floor > 0 => self.floor + 1,
            None => 0,
        };
        if token < newest { Err(fenced(name, token, newest)) } else { Ok(()) }
    }

    fn put(&mut self, name: String, token: i64) {
        let highest = self.highest.entry(name).or_insert(token);
        *highest = token.max(*highest);
    }

    /// Once there are `max` of them: the highest token of the oldest tenth.
    fn oldest_if_full(&self, max: usize) -> Option<i64> {
        if self.highest.len() < max {
            return None;
        }
        let mut tokens: Vec<_> = self.highest.values().copied().collect();
        let (_, highest, _) = tokens.select_nth_unstable(max / 10);
        Some(*highest)
    }

    fn give_up(&mut self, floor: i64) {
        self.highest.retain(|_, token| *token > floor);
        self.floor = floor;
    }
}

fn instance() -> String {
    Uuid::new_v4().simple().to_string()
}

fn fenced(target: &str, token: i64, highest: i64) -> Error {
    let text = format!(
        "fence token {token} for {target} is older than {highest}, which this adapter has seen: \
         another holder took the lease. Nothing was sent to the gateway"
    );
    Error::new(Code::Conflict, "FENCED", text)
        .with("fence_token", token.to_string())
        .with("newest_fence_token", highest.to_string())
        .next_step(NextStep::Status.of(target))
}

#[cfg(test)]
mod tests;
