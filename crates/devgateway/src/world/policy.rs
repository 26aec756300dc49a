//! Policies: their digest, the default one, and what cannot change while a sandbox lives.
//!
//! Policies stay bytes throughout; only copies are decoded. Both dialects agree on the fields
//! that are looked at here.

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use salvor_openshell_wire::{splice, v0_0 as look};

use crate::refusal::{Outcome, Refusal};

/// SHA-256, hex, of a policy; the order of its top-level entries does not matter.
///
/// Maps travel in any order, so entries are sorted by number and content first. What is inside
/// an entry is taken as it stands.
pub(crate) fn hash(policy: &[u8]) -> Outcome<String> {
    let mut entries = Vec::new();
    for field in splice::fields(policy) {
        let field = field?;
        entries.push((field.number, field.raw));
    }
    entries.sort_unstable();
    let mut digest = Sha256::new();
    for (_, raw) in entries {
        digest.update(raw);
    }
    Ok(hex::encode(digest.finalize()))
}

/// What a sandbox gets whose image brings no policy: a few readable paths and no network.
pub(crate) fn default_policy() -> Vec<u8> {
    let paths = |paths: &[&str]| paths.iter().map(|&path| path.to_owned()).collect();
    let filesystem = look::FilesystemPolicy {
        include_workdir: true,
        read_only: paths(&["/usr", "/lib", "/proc", "/dev/urandom", "/app", "/etc", "/var/log"]),
        read_write: paths(&["/tmp", "/dev/null"]),
    };
    let process =
        look::ProcessPolicy { run_as_user: "sandbox".into(), run_as_group: "sandbox".into() };
    look::SandboxPolicy {
        version: 1,
        filesystem: Some(filesystem.encode_to_vec()),
        landlock: Some(
            look::LandlockPolicy { compatibility: "best_effort".into() }.encode_to_vec(),
        ),
        process: Some(process.encode_to_vec()),
        ..Default::default()
    }
    .encode_to_vec()
}

/// Refuses changes that only a new start can apply. Network rules are free, new paths too.
pub(crate) fn check_live_change(baseline: &[u8], new: &[u8]) -> Outcome<()> {
    let fixed = |what: &str| {
        let text = format!("{what} cannot be changed on a live sandbox (applied at startup)");
        Err(Refusal::invalid(text))
    };
    let baseline = look::SandboxPolicy::decode(baseline)?;
    let new = look::SandboxPolicy::decode(new)?;
    let paths = |policy: &look::SandboxPolicy| {
        look::FilesystemPolicy::decode(policy.filesystem.as_deref().unwrap_or_default())
    };
    let (old_paths, new_paths) = (paths(&baseline)?, paths(&new)?);
    if old_paths.include_workdir != new_paths.include_workdir {
        return fixed("filesystem include_workdir");
    }
    let kept = |old: &[String], new: &[String]| old.iter().all(|path| new.contains(path));
    if !kept(&old_paths.read_only, &new_paths.read_only)
        || !kept(&old_paths.read_write, &new_paths.read_write)
    {
        return fixed("removing a filesystem path");
    }
    let landlock = |policy: &look::SandboxPolicy| {
        policy.landlock.as_deref().map(look::LandlockPolicy::decode).transpose()
    };
    let process = |policy: &look::SandboxPolicy| {
        policy.process.as_deref().map(look::ProcessPolicy::decode).transpose()
    };
    if landlock(&baseline)? != landlock(&new)? {
        return fixed("landlock policy");
    }
    if process(&baseline)? != process(&new)? {
        return fixed("process policy");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: fn(&mut look::SandboxPolicy)) -> Vec<u8> {
        let mut policy = look::SandboxPolicy::decode(default_policy().as_slice()).unwrap();
        change(&mut policy);
        policy.encode_to_vec()
    }

    #[test]
    fn the_digest_ignores_the_order_of_entries_and_nothing_else() {
        let one = with(|p| {
            p.network_policies.insert("a".into(), vec![1]);
            p.network_policies.insert("b".into(), vec![2]);
        });
        let fields: Vec<_> = splice::fields(&one).map(|field| field.unwrap().raw).collect();
        let reversed: Vec<u8> = fields.into_iter().rev().flatten().copied().collect();
        assert_eq!(hash(&one), hash(&reversed));
        assert_ne!(hash(&one), hash(&default_policy()));
        assert!(hash(&[0xff]).is_err());
    }

    #[test]
    fn only_network_rules_and_new_paths_change_on_a_live_sandbox() {
        let old = default_policy();
        let network = with(|p| {
            p.network_policies.insert("a".into(), vec![1]);
        });
        assert_eq!(check_live_change(&old, &network), Ok(()));
        let fewer_paths = with(|p| p.filesystem = None);
        let landlock = with(|p| p.landlock = None);
        let process = with(|p| p.process = None);
        for changed in [fewer_paths, landlock, process] {
            let text = check_live_change(&old, &changed).unwrap_err().message;
            assert!(text.contains("cannot be changed on a live sandbox"), "{text}");
        }
    }
}
