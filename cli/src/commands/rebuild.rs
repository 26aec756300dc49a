//! `rebuild`: the plan is shown first, and what is done is that plan or nothing.

use std::io;

use salvor_proto::recovery::v1::workspace_source::Kind;
use salvor_proto::recovery::v1::{Plan, PlanRecoveryRequest, RecoverSandboxRequest, RecoveryPath};

use super::confirm::{can_ask, label, typed};
use super::recover::{plan_of, refusals, start, verdict_on};
use crate::args::RebuildArgs;
use crate::client::Clients;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::{render, resolve};

/// `salvor rebuild`.
pub(crate) async fn run(
    clients: &Clients,
    args: &RebuildArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    let name = resolve::record(clients, &args.name).await?;
    let mut request = RecoverSandboxRequest {
        path: RecoveryPath::Rebuild.into(),
        accept_data_loss: args.loss.accept_data_loss.clone().unwrap_or_default(),
        snapshot: resolve::snapshot::of_record(args.snapshot.snapshot.as_deref(), &name)?,
        name,
        ..RecoverSandboxRequest::default()
    };
    if !args.yes && !args.run.validate_only && args.loss.accept_data_loss.is_none() {
        let plan = accepted(clients, args, &request, output).await?;
        if loses_files(&plan) {
            request.accept_data_loss.clone_from(&plan.digest);
        }
        request.plan_digest = plan.digest;
    }
    start(clients, request, &args.run, output).await
}

/// Shows what would be done, and answers the plan if a person agrees to it.
async fn accepted(
    clients: &Clients,
    args: &RebuildArgs,
    request: &RecoverSandboxRequest,
    output: &Output,
) -> Result<Plan, Failure> {
    let name = &request.name;
    let mut wanted = PlanRecoveryRequest {
        name: name.clone(),
        path: request.path,
        snapshot: request.snapshot.clone(),
        ..PlanRecoveryRequest::default()
    };
    let mut plan = plan_of(clients, wanted.clone()).await?;
    if can_ask(output) && loses_files(&plan) {
        // As it would be if a person accepted that, which is what is asked for next.
        wanted.accept_data_loss = plan.digest;
        plan = plan_of(clients, wanted).await?;
    }
    if let Some(first) = refusals(&plan).next() {
        output.message(&plan, render::plan::plan)?;
        let message =
            format!("rebuild of {name} was refused: {}. Nothing was changed", first.message);
        return Err(Failure::new(verdict_on(&plan), &first.reason, message).next(&plan.next_step));
    }
    let refused = |message: String| Failure::new(Exit::Refused, "NOT_CONFIRMED", message);
    if !can_ask(output) {
        output.message(&plan, render::plan::plan)?;
        let message = format!("rebuild of {name} was not confirmed; nothing was changed");
        return Err(refused(message).next(args.agreed(name, &request.snapshot)));
    }
    output.note(&render::plan::plan(&plan, output.err_look()));
    let purpose = if loses_files(&plan) {
        "delete it, lose its files for good, and make it anew"
    } else {
        "delete it and make it anew with its files"
    };
    if typed(name, purpose, &mut io::stdin().lock(), output)? {
        Ok(plan)
    } else {
        Err(refused(format!("{} was not typed; nothing was changed", label(name))))
    }
}

/// Whether its files would be gone: nothing can be read, and no snapshot holds them. Only that has to be accepted.
fn loses_files(plan: &Plan) -> bool {
    plan.source.as_ref().is_some_and(|source| source.kind() == Kind::None)
}

#[cfg(test)]
mod tests {
    use salvor_proto::recovery::v1::WorkspaceSource;

    use super::*;

    #[test]
    fn only_files_that_come_from_nowhere_have_to_be_given_up() {
        for (kind, lost) in [
            (Kind::None, true),
            (Kind::Exec, false),
            (Kind::Runtime, false),
            (Kind::Snapshot, false),
            (Kind::Unspecified, false),
        ] {
            let source = WorkspaceSource { kind: kind.into(), ..WorkspaceSource::default() };
            let losses = vec!["its processes".to_owned()];
            let plan = Plan { source: Some(source), losses, ..Plan::default() };
            assert_eq!(loses_files(&plan), lost, "{kind:?}");
        }
        assert!(!loses_files(&Plan::default()));
    }
}
