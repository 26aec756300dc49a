//! What adapters say of the snapshots in their repositories: reads, without any effect.

use std::collections::BTreeMap;

use salvor_core::{
    Fact, Timestamp, Why,
    evidence::Snapshot,
    id::{SandboxPath, Sha256, SnapshotName},
    name::RecordName,
    saga::{Cause, Effect},
};
use salvor_proto::{convert, error::received, gateway::v1 as pb, time::millis};
use sha2::{Digest as _, Sha256 as Hasher};
use tonic::{Code, Status};

use super::{
    adapter::{Adapter, reference, why},
    causes,
    workspaces::is_salvors,
};

/// How many snapshots of one sandbox are looked at for the newest that fits.
const PAGE: i32 = 100;

impl Adapter {
    /// The newest complete snapshot for which `fits` holds, and whether the adapter has a repository at all. That there is none,
    /// or an older one, is known only of a repository that still has the `last` one that the record names.
    pub async fn newest_snapshot(
        &self,
        name: &RecordName,
        last: Option<&SnapshotName>,
        fits: impl Fn(&Snapshot) -> bool + Send,
    ) -> (Fact<Option<Snapshot>>, bool) {
        let (newest, repository) = self.newest_listed(name, fits).await;
        let (Fact::Known { value, .. }, Some(last)) = (&newest, last) else {
            return (newest, repository);
        };
        if value.as_ref().is_some_and(|found| found.name == *last) {
            return (newest, repository);
        }
        match self.snapshot(last).await {
            Fact::Known { value: Some(_), .. } => (newest, repository),
            Fact::Known { value: None, .. } => {
                let detail = format!("the record names {last}, and it is not in the repository");
                (Fact::unknown(Why::SnapshotsGone, detail), repository)
            }
            unknown @ Fact::Unknown { .. } => (unknown, repository),
        }
    }

    async fn newest_listed(
        &self,
        name: &RecordName,
        fits: impl Fn(&Snapshot) -> bool + Send,
    ) -> (Fact<Option<Snapshot>>, bool) {
        let mut token = String::new();
        loop {
            let request = pb::ListSnapshotsRequest {
                gateway: name.owner().to_string(),
                sandbox: Some(reference(name)),
                page_size: PAGE,
                page_token: token,
                ..pb::ListSnapshotsRequest::default()
            };
            let page = match self.client().list_snapshots(request).await {
                Ok(page) => page.into_inner(),
                Err(status) => return (Fact::unknown(why(&status), status.message()), true),
            };
            match &page.unknown {
                Some(unknown) if unknown.reason() == pb::UnknownReason::NotRegistered => {
                    return (Fact::known(None, self.now()), false);
                }
                Some(unknown) => return (convert::unknown_fact(unknown), true),
                None => {}
            }
            let found = page.snapshots.iter().filter_map(convert::snapshot).find(|s| fits(s));
            if found.is_some() || page.next_page_token.is_empty() {
                return (settled(found, &page.unreadable, self.now()), true);
            }
            token = page.next_page_token;
        }
    }

    /// One snapshot, by its exact name. `None`: there is none of that name.
    pub async fn snapshot(&self, name: &SnapshotName) -> Fact<Option<Snapshot>> {
        let request = pb::GetSnapshotRequest { name: name.to_string() };
        match self.client().get_snapshot(request).await {
            Ok(answer) => {
                let found = answer.into_inner().snapshot;
                Fact::known(found.as_ref().and_then(convert::snapshot), self.now())
            }
            Err(status) if is_salvors(&status, Code::NotFound) => Fact::known(None, self.now()),
            // An adapter without a repository holds none, and says so.
            Err(status) if received(&status).reason.as_deref() == Some("NO_REPOSITORY") => {
                Fact::known(None, self.now())
            }
            Err(status) => Fact::unknown(why_not(&status), status.message()),
        }
    }

    /// Which of the sealed files that `within` holds it holds with the content that is sealed.
    ///
    /// # Errors
    /// Why that is not known, and what was said.
    pub async fn as_sealed(
        &self,
        within: &Snapshot,
        sealed: &BTreeMap<SandboxPath, Sha256>,
    ) -> Result<Vec<SandboxPath>, (Why, String)> {
        let mut found = Vec::new();
        for (path, digest) in sealed {
            if !within.covered.iter().any(|root| path.is_in(root)) {
                continue;
            }
            match self.digest(&within.name, path).await {
                Ok(Some(read)) if read == *digest => found.push(path.clone()),
                Ok(_) => {}
                Err(status) => return Err((why(&status), status.message().to_owned())),
            }
        }
        Ok(found)
    }

    /// Of the content of one file of a snapshot. `None`: it holds no such regular file.
    async fn digest(
        &self,
        snapshot: &SnapshotName,
        path: &SandboxPath,
    ) -> Result<Option<Sha256>, Status> {
        let request = pb::ReadSnapshotFileRequest {
            snapshot: snapshot.to_string(),
            path: path.to_string(),
            ..pb::ReadSnapshotFileRequest::default()
        };
        let mut pieces = match self.client().read_snapshot_file(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if [Code::NotFound, Code::InvalidArgument].contains(&status.code()) => {
                return Ok(None);
            }
            Err(status) => return Err(status),
        };
        let mut hasher = Hasher::new();
        while let Some(piece) = pieces.message().await? {
            hasher.update(&piece.content);
        }
        Ok(Some(Sha256(hex::encode(hasher.finalize()))))
    }

    /// Whether a snapshot is known to hold nothing at a path.
    pub async fn lacks(&self, snapshot: &SnapshotName, path: &SandboxPath) -> bool {
        let request = pb::ReadSnapshotFileRequest {
            snapshot: snapshot.to_string(),
            path: path.to_string(),
            ..pb::ReadSnapshotFileRequest::default()
        };
        // What is there is not read, and what is no file is there.
        let Err(status) = self.client().read_snapshot_file(request).await else { return false };
        received(&status).reason.as_deref() == Some("PATH_NOT_FOUND")
    }

    /// What a drill looks for in a restored snapshot. `None`: it bears none.
    ///
    /// # Errors
    /// Why that is not known.
    pub async fn nonce(&self, name: &SnapshotName) -> Result<Option<pb::Nonce>, Cause> {
        Ok(self.manifest(name).await?.nonce)
    }

    /// What a snapshot that a plan rests on says of itself.
    ///
    /// # Errors
    /// Why that is not known.
    pub async fn manifest(&self, name: &SnapshotName) -> Result<pb::Snapshot, Cause> {
        let request = pb::GetSnapshotRequest { name: name.to_string() };
        match self.client().get_snapshot(request).await {
            Ok(answer) => answer.into_inner().snapshot.ok_or(Cause::AdapterFailed),
            Err(status) if is_salvors(&status, Code::NotFound) => Err(Cause::SnapshotUnusable),
            Err(status) => match causes::of_status::<()>(&status) {
                Effect::NotApplied(cause) | Effect::MaybeApplied(cause) => Err(cause),
                Effect::Applied(()) => Err(Cause::AdapterFailed),
            },
        }
    }
}

/// A snapshot that cannot be read may be the one to take, unless it is older than the one that was found.
fn settled(
    found: Option<Snapshot>,
    unreadable: &[pb::Snapshot],
    now: Timestamp,
) -> Fact<Option<Snapshot>> {
    let begun = |snapshot: &pb::Snapshot| snapshot.begin_time.as_ref().map_or(0, millis);
    let is_newer = |snapshot: &&pb::Snapshot| {
        found.as_ref().is_none_or(|found| begun(snapshot) >= found.begun.0)
    };
    match unreadable.iter().find(is_newer) {
        Some(snapshot) => Fact::unknown(Why::SnapshotUnreadable, snapshot.name.clone()),
        None => Fact::known(found, now),
    }
}

/// What the repository itself is wrong with is told from what keeps it from being asked.
fn why_not(status: &Status) -> Why {
    match received(status).reason.as_deref() {
        Some("REPOSITORY_GONE") => Why::SnapshotsGone,
        Some("SNAPSHOT_UNREADABLE") => Why::SnapshotUnreadable,
        _ => why(status),
    }
}

#[cfg(test)]
mod tests;
