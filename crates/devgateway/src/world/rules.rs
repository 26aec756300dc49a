//! What a create or an exec may ask for: sizes and names, in the vendor's words.
//!
//! Pure functions of the request. Whether a name is free or a provider exists is the world's.

use std::collections::BTreeMap;

use salvor_openshell_wire::v0_0 as look;

use super::labels::check_map;
use crate::refusal::{Outcome, Refusal};

/// Longest name of a sandbox or workspace, in bytes.
const MAX_NAME: usize = 19;
const MAX_PROVIDERS: usize = 32;
const MAX_POLICY: usize = 256 * 1024;
const MAX_MAIN_ARGS: usize = 256;
const MAX_MAIN_SIZE: usize = 256 * 1024;
const MAX_ENV_SIZE: usize = 256 * 1024;
const MAX_EXEC_ARGS: usize = 1024;
const MAX_ARG: usize = 32 * 1024;
const MAX_WORKDIR: usize = 4096;
const MAX_COMMAND: usize = 256 * 1024;
const MAX_IMAGE: usize = 1024;
/// The one reserved variable that an exec may set: the official SDK's serialized callable.
const EXEC_ALLOWED: &str = "OPENSHELL_PYFUNC_B64";

/// A name that can be a DNS label of at most 19 bytes. Empty passes.
pub(crate) fn check_name(name: &str, field: &str) -> Outcome<()> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let problem = if name.len() > MAX_NAME {
        format!("exceeds maximum length ({} > {MAX_NAME})", name.len())
    } else if !name.chars().all(allowed) {
        "must contain only lowercase alphanumeric characters or hyphens".to_owned()
    } else if name.starts_with('-') || name.ends_with('-') {
        "must not start or end with a hyphen".to_owned()
    } else if name.contains("--") {
        "must not contain consecutive hyphens".to_owned()
    } else {
        return Ok(());
    };
    Err(Refusal::invalid(format!("{field} {problem}")))
}

/// Sizes and syntax of a spec. Looks at a decoded copy.
pub(crate) fn check_spec(spec: &look::SandboxSpec) -> Outcome<()> {
    if spec.providers.len() > MAX_PROVIDERS {
        return Err(Refusal::invalid(format!(
            "providers list exceeds maximum ({} > {MAX_PROVIDERS})",
            spec.providers.len()
        )));
    }
    check_map(&spec.environment, "spec.environment")?;
    check_env(&spec.environment, "spec.environment", false)?;
    if let Some(template) = &spec.template {
        check_template(template)?;
    }
    let gpu = spec.resource_requirements.as_ref().and_then(|needs| needs.gpu.as_ref());
    if gpu.and_then(|gpu| gpu.count) == Some(0) {
        return Err(Refusal::invalid("gpu count must be greater than 0"));
    }
    check_main(&spec.command)?;
    match spec.policy.as_ref().map(Vec::len) {
        Some(size) if size > MAX_POLICY => Err(Refusal::invalid(format!(
            "policy serialized size exceeds maximum ({size} > {MAX_POLICY})"
        ))),
        _ => Ok(()),
    }
}

fn check_template(template: &look::SandboxTemplate) -> Outcome<()> {
    if template.image.len() > MAX_IMAGE {
        return Err(Refusal::invalid(format!(
            "template.image exceeds maximum length ({} > {MAX_IMAGE})",
            template.image.len()
        )));
    }
    check_map(&template.labels, "template.labels")?;
    check_map(&template.environment, "template.environment")?;
    check_env(&template.environment, "spec.template.environment", false)?;
    if !template.annotations.is_empty() || !template.runtime_class_name.is_empty() {
        return Err(Refusal::precondition(
            "docker compute driver does not support template.platform_config",
        ));
    }
    Ok(())
}

fn check_main(command: &[String]) -> Outcome<()> {
    let Some(program) = command.first() else { return Ok(()) };
    if command.len() > MAX_MAIN_ARGS {
        return Err(Refusal::invalid(format!(
            "spec.command exceeds {MAX_MAIN_ARGS} argument limit"
        )));
    }
    if program.is_empty() {
        return Err(Refusal::invalid("spec.command[0] must not be empty"));
    }
    if command.iter().map(String::len).sum::<usize>() > MAX_MAIN_SIZE {
        return Err(Refusal::invalid(format!(
            "spec.command total size exceeds {MAX_MAIN_SIZE} byte limit"
        )));
    }
    for (index, argument) in command.iter().enumerate() {
        if argument.len() > MAX_ARG {
            return Err(Refusal::invalid(format!(
                "spec.command[{index}] exceeds {MAX_ARG} byte limit"
            )));
        }
        reject_nul(argument, &format!("spec.command[{index}]"))?;
    }
    Ok(())
}

/// Sizes and syntax of an exec, as they hold at the gateway's edge.
pub(crate) fn check_exec(
    command: &[String],
    environment: &BTreeMap<String, String>,
    workdir: &str,
) -> Outcome<()> {
    if command.is_empty() {
        return Err(Refusal::invalid("command is required"));
    }
    if command.len() > MAX_EXEC_ARGS {
        return Err(Refusal::invalid(format!(
            "command array exceeds {MAX_EXEC_ARGS} argument limit"
        )));
    }
    for (index, argument) in command.iter().enumerate() {
        let field = format!("command argument {index}");
        check_length(argument, MAX_ARG, &field)?;
        reject_nul(argument, &field)?;
    }
    for (key, value) in environment {
        check_length(value, MAX_ARG, &format!("environment value for '{key}'"))?;
    }
    check_env(environment, "environment", true)?;
    check_length(workdir, MAX_WORKDIR, "workdir")?;
    reject_line_breaks(workdir, "workdir")?;
    let assembled: usize = command.iter().map(|argument| argument.len() + 3).sum();
    if assembled > MAX_COMMAND {
        return Err(Refusal::invalid(format!(
            "command construction failed: assembled command exceeds {MAX_COMMAND} byte limit"
        )));
    }
    Ok(())
}

fn check_env(env: &BTreeMap<String, String>, field: &str, exec: bool) -> Outcome<()> {
    let total: usize = env.iter().map(|(key, value)| key.len() + value.len()).sum();
    if total > MAX_ENV_SIZE && !exec {
        return Err(Refusal::invalid(format!(
            "{field} total size exceeds {MAX_ENV_SIZE} byte limit ({total} bytes)"
        )));
    }
    for (key, value) in env {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if key.is_empty() || key.starts_with(|c: char| c.is_ascii_digit()) || !key.chars().all(word)
        {
            return Err(Refusal::invalid(format!(
                "{field} keys must match ^[A-Za-z_][A-Za-z0-9_]*$; got '{key}'"
            )));
        }
        if key.starts_with("OPENSHELL_") && !(exec && key == EXEC_ALLOWED) {
            return Err(Refusal::invalid(format!(
                "{field} keys starting with OPENSHELL_ are reserved; got '{key}'"
            )));
        }
        reject_line_breaks(value, &format!("{field} value for '{key}'"))?;
    }
    Ok(())
}

fn check_length(value: &str, max: usize, field: &str) -> Outcome<()> {
    if value.len() > max {
        return Err(Refusal::invalid(format!("{field} exceeds {max} byte limit")));
    }
    Ok(())
}

fn reject_nul(value: &str, field: &str) -> Outcome<()> {
    if value.contains('\0') {
        return Err(Refusal::invalid(format!("{field} contains null bytes")));
    }
    Ok(())
}

fn reject_line_breaks(value: &str, field: &str) -> Outcome<()> {
    reject_nul(value, field)?;
    if value.contains(['\n', '\r']) {
        return Err(Refusal::invalid(format!(
            "{field} contains newline or carriage return characters"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
