//! What is never part of a snapshot: what belongs to one machine, and well-known credentials.
//!
//! A credential is left out only where its program looks for it, at the top of a home or of a
//! declared root, so that a test fixture deep in a repository is kept. Names alone (`*.pem`) say
//! too little and are not here. What is left out is listed with each snapshot; providers inject
//! credentials anew.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use crate::workspace::Reason;

/// One row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    /// Below `/`, or below a home. One `*` in a component stands for anything.
    pattern: &'static str,
    /// MACHINE_BOUND or SECRET.
    pub(super) reason: Reason,
    /// One sentence.
    pub(super) why: &'static str,
}

const fn machine(pattern: &'static str, why: &'static str) -> Bound {
    Bound { pattern, reason: Reason::MachineBound, why }
}

const fn secret(pattern: &'static str, why: &'static str) -> Bound {
    Bound { pattern, reason: Reason::Secret, why }
}

/// Directly below `/`.
const OF_THE_MACHINE: &[Bound] = &[
    machine("etc/machine-id", "identifies the machine; made anew with each container"),
    machine("var/lib/dbus/machine-id", "identifies the machine; made anew with each container"),
    machine("etc/ssh/ssh_host_*", "an SSH host key belongs to one host"),
    machine("etc/hostname", "the container runtime writes it"),
    machine("etc/hosts", "the container runtime writes it"),
    machine("etc/resolv.conf", "the container runtime writes it"),
];

/// Directly below a home: a declared root, `/root`, `/sandbox`, `/home/*`.
const OF_A_HOME: &[Bound] = &[
    machine(".openclaw/identity", "OpenClaw's device identity and its pairing"),
    machine(".openclaw/devices", "OpenClaw's paired devices"),
    secret(".ssh/id_*", "a private SSH key"),
    secret(".gnupg/private-keys-v1.d", "private GnuPG keys"),
    secret(".netrc", "passwords of hosts"),
    secret(".git-credentials", "Git's stored credentials"),
    secret(".config/git/credentials", "Git's stored credentials"),
    secret(".config/gh/hosts.yml", "tokens of GitHub's command line"),
    secret(".aws/credentials", "AWS keys"),
    secret(".aws/sso/cache", "AWS tokens"),
    secret(".aws/cli/cache", "AWS tokens"),
    secret(".azure/msal_token_cache.*", "Azure tokens"),
    secret(".config/gcloud/credentials.db", "Google Cloud credentials"),
    secret(".config/gcloud/access_tokens.db", "Google Cloud tokens"),
    secret(".config/gcloud/legacy_credentials", "Google Cloud credentials"),
    secret(".config/gcloud/application_default_credentials.json", "Google Cloud credentials"),
    secret(".docker/config.json", "registry logins"),
    secret(".kube/config", "cluster credentials"),
    secret(".vault-token", "a Vault token"),
    secret(".npmrc", "npm tokens"),
    secret(".pypirc", "package index passwords"),
    secret(".cargo/credentials", "registry tokens"),
    secret(".cargo/credentials.toml", "registry tokens"),
    secret(".claude/.credentials.json", "the agent's login"),
    secret(".codex/auth.json", "the agent's login"),
    secret(".gemini/oauth_creds.json", "the agent's login"),
    secret(".local/share/opencode/auth.json", "the agent's login"),
    secret(".openclaw/credentials", "the agent's logins"),
];
/// A public key is nobody's secret.
const PUBLIC: &[u8] = b".pub";

/// The row that a path is left out by, if any.
pub(super) fn find(path: &Path, roots: &[&Path]) -> Option<&'static Bound> {
    let below_root = path.strip_prefix("/").ok()?;
    let of_the_machine = OF_THE_MACHINE.iter().find(|row| matches(below_root, row.pattern));
    of_the_machine.or_else(|| {
        let homes = roots.iter().filter_map(|root| path.strip_prefix(root).ok());
        homes.chain(below_homes(path)).find_map(|below| {
            let public = below.as_os_str().as_bytes().ends_with(PUBLIC);
            OF_A_HOME.iter().find(|row| !public && matches(below, row.pattern))
        })
    })
}

/// The path below the well-known homes that it is in.
fn below_homes(path: &Path) -> impl Iterator<Item = &Path> {
    let fixed = ["/root", "/sandbox"].into_iter().filter_map(|home| path.strip_prefix(home).ok());
    let own = path.strip_prefix("/home").ok().and_then(|below| {
        let mut components = below.components();
        components.next().map(|_| components.as_path())
    });
    fixed.chain(own)
}

fn matches(path: &Path, pattern: &str) -> bool {
    let mut components = path.components();
    let all = pattern.split('/').all(|part| match components.next() {
        Some(Component::Normal(name)) => fits(name, part.as_bytes()),
        _ => false,
    });
    all && components.next().is_none()
}

fn fits(name: &OsStr, part: &[u8]) -> bool {
    let name = name.as_bytes();
    let Some(star) = part.iter().position(|byte| *byte == b'*') else { return name == part };
    let (head, tail) = (&part[..star], &part[star + 1..]);
    name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
}
