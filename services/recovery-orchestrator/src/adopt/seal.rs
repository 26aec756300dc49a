//! Sealing: the digests of what is there become the obligation.

use salvor_core::{id::LiveId, name::RecordName};
use salvor_proto::{
    Error,
    gateway::v1::{self as gateway, sealed_path_view::State},
    registry::v1::{self as registry, posture},
    time::timestamp,
};

use super::undetermined;
use crate::{engine::Engine, ports::Adapter};

/// As the contract says.
const MAX_PATHS: usize = 256;
/// The longest path that a system takes, in bytes.
const MAX_PATH: usize = 4096;

/// Checks paths to seal.
///
/// # Errors
/// INVALID, naming the path's place in the request.
pub(super) fn check(paths: &[String]) -> Result<(), Error> {
    if paths.len() > MAX_PATHS {
        return Err(Error::invalid("seal_paths", format!("must have at most {MAX_PATHS} paths")));
    }
    for (index, path) in paths.iter().enumerate() {
        let parts = path.strip_prefix('/').unwrap_or_default().split('/');
        let mut parts = parts.map(|part| !matches!(part, "" | "." | ".."));
        if path.len() > MAX_PATH || path.contains('\0') || !parts.all(|normal| normal) {
            let field = format!("seal_paths[{index}]");
            return Err(Error::invalid(field, "must be absolute and normalised"));
        }
        if paths[..index].contains(path) {
            let field = format!("seal_paths[{index}]");
            return Err(Error::invalid(field, format!("{path} is there twice")));
        }
    }
    Ok(())
}

impl Engine {
    /// Seals the present content of paths: their digests become the obligation. Making them read-only is a recovery's or an
    /// owner's act; here it is recorded what there is, and proven as far as it holds.
    pub(super) async fn seal(
        &self,
        adapter: &Adapter,
        name: &RecordName,
        live: &LiveId,
        paths: &[String],
    ) -> Result<registry::Posture, Error> {
        let seen = adapter.verify_posture(name, live, unknown_digests(paths)).await;
        let seen =
            seen.map_err(|why| undetermined(name, why, "the paths to seal cannot be read"))?;
        let mut sealed = registry::Posture {
            mode: posture::Mode::Locked.into(),
            proof: posture::Proof::Proven.into(),
            ..registry::Posture::default()
        };
        for (index, path) in seen.into_iter().enumerate() {
            sealed.sealed_paths.push(digest_of(index, path)?);
        }
        let proof = adapter.verify_posture(name, live, sealed.clone()).await;
        let proof = proof.map_err(|why| undetermined(name, why, "the seal cannot be read back"))?;
        for path in proof {
            let owed = match path.state() {
                State::Sealed => continue,
                State::Writable => "it can be written",
                State::Missing => "it does not exist",
                State::NotRegular => "it is no regular file",
                State::Changed | State::Unspecified => "its content is not the sealed one",
            };
            sealed.proof = posture::Proof::Pending.into();
            sealed.pending.push(format!("{}: {owed}", path.path));
        }
        sealed.proof_time = Some(timestamp(self.world().now().0));
        Ok(sealed)
    }
}

/// The adapter compares with a digest and answers the true one. No file is known to have this one.
fn unknown_digests(paths: &[String]) -> registry::Posture {
    let sealed =
        |path: &String| registry::SealedPath { path: path.clone(), sha256: "0".repeat(64) };
    registry::Posture {
        mode: posture::Mode::Locked.into(),
        sealed_paths: paths.iter().map(sealed).collect(),
        ..registry::Posture::default()
    }
}

fn digest_of(index: usize, path: gateway::SealedPathView) -> Result<registry::SealedPath, Error> {
    let refuse = |problem: &str| {
        Error::invalid(format!("seal_paths[{index}]"), format!("{} {problem}", path.path))
    };
    match path.state() {
        State::Missing => Err(refuse("does not exist")),
        State::NotRegular => Err(refuse("is no regular file")),
        _ if path.sha256.is_empty() => Err(refuse("cannot be read")),
        State::Writable | State::Changed | State::Sealed | State::Unspecified => {
            Ok(registry::SealedPath { path: path.path, sha256: path.sha256 })
        }
    }
}
