//! Journals of other versions, and damaged ones: made from one that is parked with a create in doubt.

use std::time::Duration;

use salvor_proto::recovery::v1::{self as pb, recovery::State};
use salvor_runtime::database::Location;
use salvor_testkit::{Fleet, store};
use tonic::{Code, Status};

use crate::{
    given::{next_step, recovery},
    resume::{cancel, parked, retry},
    support::{AUTO, reason},
};

/// Older than any that is gone on with.
pub(super) const OLDER: i32 = 1;
/// Newer than any that there is.
pub(super) const NEWER: i32 = 99;

const LAST: &str = "(SELECT MAX(seq) FROM journal WHERE recovery = $1)";

macro_rules! appended {
    ($event:literal) => {
        concat!(
            "INSERT INTO journal SELECT recovery, seq + 1, at_ms, '",
            $event,
            "', 0 FROM journal WHERE recovery = $1 ORDER BY seq DESC LIMIT 1"
        )
    };
}

macro_rules! plan {
    ($change:literal) => {
        concat!("UPDATE recoveries SET plan = ", $change, " WHERE name = $1")
    };
}

/// A newer version went on with it.
pub(super) const CONTINUED: &str = appended!("{\"continued\":{\"saga_version\":99}}");
/// A newer version wrote of it what there is no word for.
pub(super) const NEW_ENTRY: &str = appended!("{\"handed_over\":{\"to\":\"lab-2\"}}");
/// A newer version went on with it, and wrote an event of its own.
pub(super) const NEW_EVENT: &str = "
    WITH last AS (SELECT * FROM journal WHERE recovery = $1 ORDER BY seq DESC LIMIT 1)
    INSERT INTO journal
    SELECT recovery, seq + 1, at_ms, '{\"continued\":{\"saga_version\":3}}', 0 FROM last
    UNION ALL SELECT recovery, seq + 2, at_ms, '\"Teleported\"', 0 FROM last";
/// A newer version's saga.
pub(super) const NEW_SAGA: &str = plan!("json_set(plan, '$.saga', 'Teleport')");
/// A newer version's plan.
pub(super) const NEW_PLAN: &str =
    plan!("json_set(plan, '$.saga_version', 99, '$.verdict', 'Entangled')");
/// An event that nobody wrote.
pub(super) const DAMAGED_EVENT: &str = appended!("\"Nonsense\"");
/// Half a plan.
pub(super) const DAMAGED_PLAN: &str = plan!("substr(plan, 1, 200)");
/// No evidence.
pub(super) const DAMAGED_EVIDENCE: &str = "UPDATE recoveries SET evidence = '{' WHERE name = $1";
/// An event that cannot be where it is.
pub(super) const MISPLACED_EVENT: &str = appended!("\"ClaimIntended\"");
/// A plan of fewer guards than this version asks for.
pub(super) const MISSING_GUARD: &str = plan!("json_remove(plan, '$.decisions[0]')");

/// Parked for long, with a create in doubt. The gateway is down. `None` on a server: what is done to the journal here is SQLite's.
pub(super) async fn began() -> Option<(Fleet, String, pb::Recovery)> {
    if store::skipped_on_a_server("a journal that is changed as SQLite does it") {
        return None;
    }
    Some(parked(Duration::from_mins(10)).await)
}

pub(super) async fn run(journal: &Location, sql: &'static str, recovery: &str) -> u64 {
    let database = store::open(journal).await;
    let done = sqlx::query(sql).bind(recovery).execute(&database).await.unwrap();
    assert!(done.rows_affected() > 0, "{sql}");
    done.rows_affected()
}

/// Appends an event behind the orchestrator's back.
pub(super) async fn insert(journal: &Location, recovery: &str, event: &str) -> u64 {
    let sql = format!(
        "INSERT INTO journal SELECT $1, {LAST} + 1, at_ms, $2, 0 FROM journal
         WHERE recovery = $1 AND seq = {LAST}"
    );
    let database = store::open(journal).await;
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(recovery).bind(event);
    query.execute(&database).await.unwrap().rows_affected()
}

/// The last row, and whether it is the end.
pub(super) async fn last(journal: &Location, recovery: &str) -> (String, bool) {
    let sql = "SELECT event, terminal FROM journal WHERE recovery = $1 ORDER BY seq DESC LIMIT 1";
    let database = store::open(journal).await;
    let last = sqlx::query_as::<_, (String, i64)>(sql).bind(recovery).fetch_one(&database);
    let (event, terminal) = last.await.unwrap();
    (event, terminal == 1)
}

/// Says that another version wrote it.
pub(super) async fn set_version(fleet: &Fleet, recovery: &str, version: i32) {
    let sql = "UPDATE recoveries SET plan = json_set(plan, '$.saga_version', $2) WHERE name = $1";
    let database = store::open(fleet.journal()).await;
    let query = sqlx::query(sql).bind(recovery).bind(version);
    assert_eq!(query.execute(&database).await.unwrap().rows_affected(), 1);
}

/// The orchestrator is replaced by one that is of another version than the recovery.
pub(super) async fn stranded(fleet: &mut Fleet, name: &str, wrote: i32) -> pb::Recovery {
    go_on(fleet, name, wrote).await;
    let open = recovery(fleet, name).await;
    assert_eq!((open.state(), open.done), (State::Stranded, false), "{open:#?}");
    assert_eq!(open.saga_version, wrote);
    open
}

pub(super) async fn go_on(fleet: &mut Fleet, name: &str, wrote: i32) {
    set_version(fleet, name, wrote).await;
    fleet.restart_orchestrator().await.unwrap();
}

/// It is listed with its reason, and neither goes on nor back; what else is asked for of the sandbox names it.
pub(super) async fn no_further(fleet: &Fleet, name: &str, open: &pb::Recovery) {
    let failure = open.failure.as_ref().unwrap();
    let request = pb::ListRecoveriesRequest { open_only: true, ..Default::default() };
    let listed = fleet.recovery.clone().list_recoveries(request).await.unwrap().into_inner();
    let listed: Vec<_> = listed.recoveries.iter().filter(|other| other.name == open.name).collect();
    assert_eq!(listed.len(), 1, "{listed:#?}");
    assert_eq!((listed[0].state(), listed[0].failure.as_ref()), (State::Stranded, Some(failure)));
    let code = match failure.reason.as_str() {
        "SAGA_VERSION_NEWER" | "SAGA_VERSION_OLDER" | "SAGA_UNKNOWN" => Code::FailedPrecondition,
        _ => Code::DataLoss,
    };
    for refused in
        [retry(fleet, &open.name).await.unwrap_err(), cancel(fleet, &open.name).await.unwrap_err()]
    {
        assert_eq!((refused.code(), reason(&refused)), (code, failure.reason.clone()), "{refused}");
        assert_eq!(next_step(&refused), failure.next_step);
    }
    let other = fleet.recover(name, AUTO).await.unwrap_err();
    assert_eq!((other.code(), reason(&other).as_str()), (Code::Aborted, "RECOVERY_OPEN"));
    assert_eq!(next_step(&other), failure.next_step);
    let status = fleet.status(name).await.unwrap();
    assert_eq!(
        (status.open_recovery, status.next_step),
        (open.name.clone(), failure.next_step.clone())
    );
    assert_eq!(fleet.wait(&open.name).await.unwrap(), *open, "nobody waits for it");
}

pub(super) fn ask(recovery: &pb::Recovery) -> pb::RetireRecoveryRequest {
    pb::RetireRecoveryRequest {
        name: recovery.name.clone(),
        etag: recovery.etag.clone(),
        ..pb::RetireRecoveryRequest::default()
    }
}

pub(super) async fn retire(
    fleet: &Fleet,
    request: pb::RetireRecoveryRequest,
) -> Result<pb::RetireRecoveryResponse, Status> {
    fleet.recovery.clone().retire_recovery(request).await.map(tonic::Response::into_inner)
}

pub(super) fn retirement(recovery: &pb::Recovery) -> pb::Retirement {
    recovery.retirement.clone().unwrap()
}
