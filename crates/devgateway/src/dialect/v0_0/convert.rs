//! The world's rows as messages of this dialect.

use salvor_openshell_wire::v0_0 as pb;

use crate::core::View;
use crate::dialect::REDACTED;
use crate::exec::Event;
use crate::world::EffectiveConfig;
use crate::world::store::{Provider, Revision, Workspace};

pub(super) fn sandbox_response(view: View) -> pb::SandboxResponse {
    pb::SandboxResponse { sandbox: Some(sandbox(view)) }
}

pub(super) fn sandbox(view: View) -> pb::Sandbox {
    let View { row, spec } = view;
    let condition = pb::SandboxCondition {
        r#type: "Ready".to_owned(),
        status: if row.condition.ready { "True" } else { "False" }.to_owned(),
        reason: row.condition.reason,
        message: row.condition.message,
        last_transition_time: row.condition.at_ms.to_string(),
    };
    pb::Sandbox {
        metadata: Some(pb::ObjectMeta {
            id: row.id,
            name: row.name.clone(),
            created_at_ms: row.created_at_ms,
            labels: row.labels,
            resource_version: row.resource_version,
            annotations: row.annotations,
            workspace: row.workspace,
            deletion_timestamp_ms: row.deleted_at_ms,
        }),
        spec,
        status: Some(pb::SandboxStatus {
            sandbox_name: row.name,
            conditions: vec![condition],
            phase: row.phase as i32,
            current_policy_version: row.policy_version,
            main_process_instance_id: row.instance_id,
            exit_code: row.exit_code,
            ..Default::default()
        }),
    }
}

pub(super) fn provider(row: Provider) -> pb::Provider {
    let redacted = |name: String| (name, REDACTED.to_owned());
    pb::Provider {
        metadata: Some(pb::ObjectMeta {
            id: row.id,
            name: row.name,
            created_at_ms: row.created_at_ms,
            labels: row.labels,
            resource_version: row.resource_version,
            workspace: row.workspace,
            ..Default::default()
        }),
        r#type: row.kind,
        credentials: row.credential_names.into_iter().map(redacted).collect(),
        config: row.config,
        credential_expires_at_ms: row.expires_at_ms,
        profile_workspace: row.profile_workspace,
    }
}

pub(super) fn workspace(row: Workspace) -> pb::Workspace {
    pb::Workspace {
        metadata: Some(pb::ObjectMeta {
            id: row.id,
            name: row.name,
            created_at_ms: row.created_at_ms,
            labels: row.labels,
            resource_version: 1,
            ..Default::default()
        }),
        status: Some(pb::WorkspaceStatus { phase: pb::WorkspacePhase::Active as i32 }),
    }
}

pub(super) fn revision(row: Revision, with_policy: bool) -> pb::SandboxPolicyRevision {
    pb::SandboxPolicyRevision {
        version: row.version,
        policy_hash: row.hash,
        status: row.status as i32,
        load_error: row.error,
        created_at_ms: row.created_at_ms,
        loaded_at_ms: row.loaded_at_ms,
        policy: with_policy.then_some(row.policy),
        provenance: row.provenance,
    }
}

pub(super) fn config(config: EffectiveConfig) -> pb::GetSandboxConfigResponse {
    let EffectiveConfig { row, revision } = config;
    let (version, policy_hash, policy) = match revision {
        Some(revision) => (revision.version, revision.hash, Some(revision.policy)),
        None => (0, String::new(), None),
    };
    pb::GetSandboxConfigResponse {
        policy,
        version,
        policy_hash,
        settings: row.effective_settings(),
        config_revision: u64::from(version) << 32 | row.settings_revision,
        policy_source: pb::PolicySource::Sandbox as i32,
        workspace: row.workspace,
        ..Default::default()
    }
}

pub(super) fn exec_event(event: Event) -> pb::ExecSandboxEvent {
    use pb::exec_sandbox_event::Payload;
    let payload = match event {
        Event::Stdout(data) => Payload::Stdout(pb::ExecSandboxStdout { data }),
        Event::Stderr(data) => Payload::Stderr(pb::ExecSandboxStderr { data }),
        Event::Exit(exit_code) => Payload::Exit(pb::ExecSandboxExit { exit_code }),
    };
    pb::ExecSandboxEvent { payload: Some(payload) }
}
