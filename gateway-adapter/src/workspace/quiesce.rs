//! Bringing an agent to rest while it is read, and the nonce of a drill.
//!
//! Invariant: what was begun is ended in any case: after a failure, a cancel, and also when nobody
//! waits any more. Only an adapter that dies in between leaves something: a nonce file, a directory
//! of copies, and whatever the hook did. What a hook prints is shown to nobody: it may be a secret.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use salvor_proto::gateway::v1 as pb;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle as Runtime;
use uuid::Uuid;

use super::notes::{Notes, shown};
use super::rules::{Hooks, Rules};
use super::{Broken, ExecChannel, Reason, sqlite};
use crate::exec::{self, Job};
use crate::operations::Handle;

/// The nonce's file in the first root.
const NONCE: &str = ".salvor-nonce";
/// For writing it or taking it away.
const SHORT: std::time::Duration = std::time::Duration::from_secs(30);
/// `$1` is the root, `$2` the content; what has the name is replaced, a link is not followed.
const WRITE: &str =
    r#"f=$1/.salvor-nonce; rm -f -- "$f" && (umask 077; set -C; printf %s "$2" >"$f")"#;
/// Only what was written is taken away.
const ERASE: &str =
    r#"f=$1/.salvor-nonce; [ ! -f "$f" ] || [ "$(cat <"$f")" != "$2" ] || rm -f -- "$f""#;

/// What has to be undone.
#[derive(Debug, Default)]
pub(super) struct Begun {
    /// Whether the hook before was run, whatever it came to.
    hook: bool,
    nonce: Option<(PathBuf, String)>,
    /// Copies of databases.
    pub(super) copies: Vec<PathBuf>,
}

/// An agent that was brought to rest. Dropped, it is let go again, in a task of its own.
#[derive(Debug)]
pub(super) struct Rest {
    exec: ExecChannel,
    rules: Arc<Rules>,
    /// Of the work that it is for: whoever comes after that waits until the agent was let go.
    handle: Handle,
    pub(super) begun: Begun,
}

/// Runs the hook before. A failure is noted, and what comes after goes on.
pub(super) async fn begin(
    channel: &ExecChannel,
    hooks: Option<&Hooks>,
    begun: &mut Begun,
    issues: &mut Notes,
) {
    let Some(hooks) = hooks.filter(|hooks| !(hooks.before.is_empty() && hooks.after.is_empty()))
    else {
        return;
    };
    begun.hook = true;
    run(channel, hooks, &hooks.before, "before", issues).await;
}

/// Why there is no nonce.
#[derive(Debug)]
pub(super) enum Unwritten {
    /// Nothing could be run in the sandbox.
    Broken(Broken),
    /// What was run says no: where, and its own words.
    Refused(String, String),
}

/// Writes the nonce.
pub(super) async fn write_nonce(
    channel: &ExecChannel,
    root: &Path,
    begun: &mut Begun,
) -> Result<pb::Nonce, Unwritten> {
    let content = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let path = shown(&nonce_path(root));
    begun.nonce = Some((root.to_owned(), content.clone()));
    match short(channel, WRITE, root, &content).await.map_err(Unwritten::Broken)? {
        Ok(()) => Ok(pb::Nonce { path, sha256: hex::encode(Sha256::digest(&content)) }),
        Err(said) => Err(Unwritten::Refused(path, said)),
    }
}

/// Where the nonce of a root is.
pub(super) fn nonce_path(root: &Path) -> PathBuf {
    root.join(NONCE)
}

/// Undoes all of it. What cannot be undone is noted.
pub(super) async fn end(channel: &ExecChannel, hooks: Option<&Hooks>, begun: Begun) -> Notes {
    let mut issues = Notes::default();
    if let Some((root, content)) = begun.nonce {
        let detail = match short(channel, ERASE, &root, &content).await {
            Ok(Ok(())) => None,
            Ok(Err(said)) => Some(said),
            Err(broken) => Some(broken.unknown.detail),
        };
        if let Some(detail) = detail {
            tracing::warn!(root = %root.display(), detail, "a nonce could not be taken away");
        }
    }
    for directory in begun.copies {
        if let Err(broken) = sqlite::remove(channel, &directory).await {
            let detail = broken.unknown.detail;
            tracing::warn!(directory = %directory.display(), detail, "copies are left behind");
        }
    }
    if let Some(hooks) = hooks.filter(|_| begun.hook) {
        run(channel, hooks, &hooks.after, "after", &mut issues).await;
    }
    issues
}

// === impl Rest ===

impl Rest {
    /// Brings it to rest. What failed is noted.
    pub(super) async fn begin(
        exec: ExecChannel,
        rules: Arc<Rules>,
        handle: Handle,
    ) -> (Self, Notes) {
        let mut rest = Self { exec, rules, handle, begun: Begun::default() };
        let mut issues = Notes::default();
        begin(&rest.exec, rest.rules.hooks.as_ref(), &mut rest.begun, &mut issues).await;
        (rest, issues)
    }

    /// Lets it go, and waits for that. It goes on when nobody waits any more.
    pub(super) async fn end(mut self) {
        if let (Some(ending), Ok(runtime)) = (self.ending(), Runtime::try_current()) {
            let _ = self.handle.undo(&runtime, ending).await;
        }
    }

    fn ending(&mut self) -> Option<impl Future<Output = ()> + Send + 'static> {
        let begun = std::mem::take(&mut self.begun);
        let (exec, rules) = (self.exec.clone(), Arc::clone(&self.rules));
        let is_at_rest = !begun.is_nothing();
        let ending = async move {
            let failed = end(&exec, rules.hooks.as_ref(), begun).await;
            if let Some(note) = failed.iter().next() {
                tracing::warn!(detail = note.detail, "an agent may still be at rest");
            }
        };
        is_at_rest.then_some(ending)
    }

    /// There is nothing any more that could be let go.
    pub(super) fn forget(mut self) {
        self.begun = Begun::default();
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if let (Some(ending), Ok(runtime)) = (self.ending(), Runtime::try_current()) {
            drop(self.handle.undo(&runtime, ending));
        }
    }
}

impl Begun {
    fn is_nothing(&self) -> bool {
        !self.hook && self.nonce.is_none() && self.copies.is_empty()
    }
}

async fn run(
    channel: &ExecChannel,
    hooks: &Hooks,
    command: &[String],
    which: &str,
    issues: &mut Notes,
) {
    let Some(program) = command.first() else { return };
    let job = Job { arguments: command.to_vec(), timeout: hooks.timeout, keep: 4 << 10 };
    let ran = exec::run(&channel.gateway, &channel.healthy, &channel.incarnation, job).await;
    let detail = match ran {
        Ok(finished) if finished.status == 0 => return,
        Ok(finished) => format!("the hook {which} reading ended with {}", finished.status),
        Err(failure) => format!("the hook {which} reading: {}", failure.detail),
    };
    issues.note(Path::new(program), Reason::HookFailed, detail);
}

/// Runs a script that takes no time. What it said, if it failed.
async fn short(
    channel: &ExecChannel,
    script: &str,
    root: &Path,
    content: &str,
) -> Result<Result<(), String>, Broken> {
    let root = root.to_string_lossy();
    let arguments = ["/bin/sh", "-c", script, "sh", &root, content].map(str::to_owned).to_vec();
    let job = Job { arguments, timeout: SHORT, keep: 1 << 10 };
    let ran = exec::run(&channel.gateway, &channel.healthy, &channel.incarnation, job).await?;
    let said = || exec::printable(&ran.stderr, 256);
    Ok(if ran.status == 0 { Ok(()) } else { Err(said()) })
}
