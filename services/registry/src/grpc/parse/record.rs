//! The fields of a record.

use std::collections::BTreeSet;
use std::time::Duration;

use salvor_proto::registry::v1::{
    AutomaticRecovery, ConfigFile, Dialect, Policy, Posture, ReadinessProbe, Sandbox, Spec,
    posture, sandbox::State,
};
use salvor_proto::time::plain;

use super::{keys, snapshots};
use crate::error::Error;
use crate::record::{Content, Contents, Field, drop_stamps};

const MAX_SPEC: usize = 1 << 20;
const MAX_POLICY: usize = 256 << 10;
const MAX_SEALED_PATHS: usize = 256;
const MAX_CONFIG_FILES: usize = 256;
/// Lists that the contract puts no number to.
const MAX_ITEMS: usize = 1024;
pub(super) const MAX_PATH: usize = 4096;
const MAX_PROBE: Duration = Duration::from_mins(1);
/// Seconds of 0001-01-01 and 9999-12-31T23:59:59, the range of protobuf's JSON form.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

const OUTPUT_ONLY: [&str; 8] = [
    "uid",
    "etag",
    "revision",
    "generation",
    "create_time",
    "update_time",
    "delete_time",
    "is_default",
];

/// The field that a mask's path names.
pub(super) fn field(path: &str) -> Result<Field, Error> {
    if let Some(field) = Field::ALL.iter().find(|field| field.name() == path) {
        return Ok(*field);
    }
    let problem = match path {
        "*" => "'*' is refused: name the fields, so that those which this client does not know \
                are kept"
            .to_owned(),
        "name" => "name is immutable".to_owned(),
        path if OUTPUT_ONLY.contains(&path) => format!("{path} is set by the registry alone"),
        path if path.contains('.') => {
            format!("{path:?} reaches into a field; name whole top-level fields")
        }
        path => format!("a record has no field {path:?}"),
    };
    Err(Error::invalid("update_mask", problem))
}

/// Checks these fields of a record; `state` has its own check.
pub(super) fn check(sandbox: &Sandbox, fields: &[Field]) -> Result<(), Error> {
    for field in fields {
        match field {
            Field::State | Field::GatewayIdentity => Ok(()),
            Field::LiveId => text("sandbox.live_id", &sandbox.live_id, 128),
            Field::Agents => agents(sandbox),
            Field::Spec => sandbox.spec.as_ref().map_or(Ok(()), spec),
            Field::Policy => sandbox.policy.as_ref().map_or(Ok(()), policy),
            Field::Posture => sandbox.posture.as_ref().map_or(Ok(()), posture),
            Field::SnapshotRules => {
                sandbox.snapshot_rules.as_ref().map_or(Ok(()), snapshots::rules)
            }
            Field::ConfigFiles => config_files(&sandbox.config_files),
            Field::ReadinessProbe => {
                sandbox.readiness_probe.as_ref().map_or(Ok(()), readiness_probe)
            }
            Field::AutomaticRecovery => {
                known::<AutomaticRecovery>("sandbox.automatic_recovery", sandbox.automatic_recovery)
            }
            Field::Labels => pairs("sandbox.labels", &sandbox.labels),
            Field::Annotations => pairs("sandbox.annotations", &sandbox.annotations),
            Field::SnapshotStatus => match &sandbox.snapshot_status {
                Some(status) => snapshots::status(&sandbox.name, status),
                None => Ok(()),
            },
            Field::Recovery => text("sandbox.recovery", &sandbox.recovery, 128),
        }?;
    }
    Ok(())
}

/// The state that an update asks for.
pub(super) fn check_state(state: i32) -> Result<(), Error> {
    known::<State>("sandbox.state", state)?;
    match State::try_from(state) {
        Ok(State::Active | State::Recovering | State::Destroying) => Ok(()),
        Ok(State::Destroyed) => Err(Error::invalid(
            "sandbox.state",
            "becomes STATE_DESTROYED through DeleteSandbox only",
        )),
        _ => Err(Error::invalid("sandbox.state", "must be given")),
    }
}

/// Takes the secret bytes out, and with them what is not kept at all.
pub(super) fn contents(sandbox: &mut Sandbox) -> Contents {
    drop_stamps(sandbox);
    Contents::take(sandbox)
}

/// A new record has nothing that an echo could stand for.
pub(super) fn no_echo(contents: &Contents) -> Result<(), Error> {
    for (field, content) in [("spec", &contents.spec), ("policy", &contents.policy)] {
        if let Content::Echo(_) = content {
            let problem = "is empty, and sha256 is that of some content; send the content";
            return Err(Error::invalid(format!("sandbox.{field}.content"), problem));
        }
    }
    Ok(())
}

fn agents(sandbox: &Sandbox) -> Result<(), Error> {
    count("sandbox.agents", sandbox.agents.len(), MAX_ITEMS)?;
    for (index, agent) in sandbox.agents.iter().enumerate() {
        if agent.kind.is_empty() {
            return Err(Error::invalid(format!("sandbox.agents[{index}].kind"), "is required"));
        }
        text(&format!("sandbox.agents[{index}].kind"), &agent.kind, 128)?;
    }
    Ok(())
}

fn spec(spec: &Spec) -> Result<(), Error> {
    dialect("sandbox.spec.dialect", spec.dialect)?;
    size("sandbox.spec.content", spec.content.len(), MAX_SPEC)?;
    time("sandbox.spec.observe_time", spec.observe_time.as_ref())
}

fn policy(policy: &Policy) -> Result<(), Error> {
    dialect("sandbox.policy.dialect", policy.dialect)?;
    size("sandbox.policy.content", policy.content.len(), MAX_POLICY)?;
    let mut names = BTreeSet::new();
    for (index, entry) in policy.entries.iter().enumerate() {
        let field = format!("sandbox.policy.entries[{index}]");
        if entry.name.is_empty() {
            return Err(Error::invalid(format!("{field}.name"), "is required"));
        }
        if !names.insert(&entry.name) {
            return Err(Error::invalid(
                format!("{field}.name"),
                format!("{:?} is there twice", entry.name),
            ));
        }
        sha256(&format!("{field}.sha256"), &entry.sha256)?;
    }
    time("sandbox.policy.observe_time", policy.observe_time.as_ref())
}

fn posture(posture: &Posture) -> Result<(), Error> {
    known::<posture::Mode>("sandbox.posture.mode", posture.mode)?;
    known::<posture::Proof>("sandbox.posture.proof", posture.proof)?;
    count("sandbox.posture.sealed_paths", posture.sealed_paths.len(), MAX_SEALED_PATHS)?;
    count("sandbox.posture.pending", posture.pending.len(), MAX_ITEMS)?;
    let mut paths = BTreeSet::new();
    for (index, sealed) in posture.sealed_paths.iter().enumerate() {
        let field = format!("sandbox.posture.sealed_paths[{index}]");
        path(&format!("{field}.path"), &sealed.path)?;
        sha256(&format!("{field}.sha256"), &sealed.sha256)?;
        if !paths.insert(&sealed.path) {
            return Err(Error::invalid(
                format!("{field}.path"),
                format!("{:?} is there twice", sealed.path),
            ));
        }
    }
    time("sandbox.posture.proof_time", posture.proof_time.as_ref())
}

/// Held here to all that an adapter holds them to: once a restore needs them it is too late to refuse.
fn config_files(files: &[ConfigFile]) -> Result<(), Error> {
    count("sandbox.config_files", files.len(), MAX_CONFIG_FILES)?;
    let mut paths = BTreeSet::new();
    for (index, file) in files.iter().enumerate() {
        let field = format!("sandbox.config_files[{index}].path");
        path(&field, &file.path)?;
        if !paths.insert(&file.path) {
            return Err(Error::invalid(field, format!("{:?} is there twice", file.path)));
        }
        if !["json", "yaml", "toml"].contains(&file.format.as_str()) {
            return Err(Error::invalid(
                format!("sandbox.config_files[{index}].format"),
                "must be json, yaml or toml",
            ));
        }
        count(
            &format!("sandbox.config_files[{index}].runtime_owned_keys"),
            file.runtime_owned_keys.len(),
            MAX_ITEMS,
        )?;
        for (key, text) in file.runtime_owned_keys.iter().enumerate() {
            let field = || format!("sandbox.config_files[{index}].runtime_owned_keys[{key}]");
            keys::dotted(text).map_err(|problem| Error::invalid(field(), problem))?;
        }
    }
    Ok(())
}

fn readiness_probe(probe: &ReadinessProbe) -> Result<(), Error> {
    if probe.command.first().is_none_or(String::is_empty) {
        return Err(Error::invalid("sandbox.readiness_probe.command", "must begin with a program"));
    }
    count("sandbox.readiness_probe.command", probe.command.len(), MAX_ITEMS)?;
    let Some(timeout) = &probe.timeout else { return Ok(()) };
    let timeout = plain(timeout);
    if timeout.is_zero() || timeout > MAX_PROBE {
        return Err(Error::invalid(
            "sandbox.readiness_probe.timeout",
            "must be more than zero and at most 60 s",
        ));
    }
    Ok(())
}

fn pairs(field: &str, pairs: &std::collections::BTreeMap<String, String>) -> Result<(), Error> {
    count(field, pairs.len(), MAX_ITEMS)?;
    if pairs.contains_key("") {
        return Err(Error::invalid(field, "holds an empty key"));
    }
    Ok(())
}

fn dialect(field: &str, value: i32) -> Result<(), Error> {
    known::<Dialect>(field, value)?;
    if value == i32::from(Dialect::Unspecified) {
        return Err(Error::invalid(field, "is required: content means nothing without it"));
    }
    Ok(())
}

fn known<E: TryFrom<i32>>(field: &str, value: i32) -> Result<(), Error> {
    if E::try_from(value).is_ok() {
        return Ok(());
    }
    Err(Error::invalid(field, format!("{value} is no value that this version knows")))
}

pub(super) fn path(field: &str, path: &str) -> Result<(), Error> {
    let normalised = path.len() > 1
        && path
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")));
    if !normalised || path.len() > MAX_PATH || path.contains('\0') {
        return Err(Error::invalid(
            field,
            format!("{} must be an absolute path without '.', '..' or '//'", shown(path)),
        ));
    }
    Ok(())
}

/// The beginning of what was given, quoted: an answer stays short whatever the request held.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?} (cut)", &text[..end]),
        None => format!("{text:?}"),
    }
}

pub(super) fn sha256(field: &str, text: &str) -> Result<(), Error> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() == 64 && text.bytes().all(is_digit) {
        return Ok(());
    }
    Err(Error::invalid(field, "must be 64 lower-case hexadecimal digits"))
}

pub(super) fn time(field: &str, time: Option<&prost_types::Timestamp>) -> Result<(), Error> {
    match time {
        Some(time)
            if !TIMES.contains(&time.seconds) || !(0..1_000_000_000).contains(&time.nanos) =>
        {
            Err(Error::invalid(field, "must lie in the years 1 to 9999"))
        }
        _ => Ok(()),
    }
}

pub(super) fn size(field: &str, bytes: usize, max: usize) -> Result<(), Error> {
    if bytes <= max {
        return Ok(());
    }
    Err(Error::invalid(field, format!("is {bytes} bytes long; at most {max} are allowed")))
}

pub(super) fn count(field: &str, items: usize, max: usize) -> Result<(), Error> {
    if items <= max {
        return Ok(());
    }
    Err(Error::invalid(field, format!("has {items} items; at most {max} are allowed")))
}

pub(super) fn text(field: &str, text: &str, max: usize) -> Result<(), Error> {
    size(field, text.len(), max)?;
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(field, "must not hold control characters"));
    }
    Ok(())
}
