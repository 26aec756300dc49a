//! What a recovery and the registry's calls cost as records and ended recoveries grow, with both stores.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use salvor_benches::{Samples, conditions, measuring, rounds};
use salvor_devgateway::user::Seed;
use salvor_proto::recovery::v1::{self as recovery, RecoveryPath, recovery::State};
use salvor_proto::registry::v1::{self as pb};
use salvor_testkit::{Fleet, Options, store, store::skipped_without_a_server, wait::PATIENCE};
use sqlx::{AnyPool, AssertSqlSafe};

const DEFINITION: &str = "\
Records are made by CreateSandbox, each with a spec of 500 bytes. Ended recoveries are copies of one whole real one, with its journal
and decisions, one for each record. Calls and recoveries go one at a time over loopback, to records all over the fleet.
recovery  from the call of RecoverSandbox to the end as WaitRecovery tells it, of a lost sandbox that waits for nothing on purpose;
          its gateway, which does not grow, is part of it
list      a page of 100, from a place in the middle";
const MEASURED: [usize; 3] = [1_000, 10_000, 150_000];
const TRIED: [usize; 2] = [20, 40];
/// Records of one page.
const PAGE: usize = 100;
/// Records that are made at the same time.
const HANDS: usize = 64;
/// Which sandbox is lost.
const LOST: &str = "lost";

/// One copy for each number from `$1` to `$2` of what the template is in one table of the journal.
const COPIES: [&str; 3] = [
    "INSERT INTO recoveries (name, sandbox, plan, evidence, traceparent, allowed, created_ms, ended) \
     SELECT r.name || '-' || i, r.sandbox || '-' || i, plan, evidence, traceparent, allowed, \
     created_ms - i, 1 FROM recoveries r, n WHERE r.name = $3",
    "INSERT INTO journal (recovery, seq, at_ms, event, terminal) \
     SELECT recovery || '-' || i, seq, at_ms - i, event, terminal FROM journal, n WHERE recovery = $3",
    "INSERT INTO decisions (recovery, idx, sandbox, phase, decision, allowed, span_id, at_ms) \
     SELECT recovery || '-' || i, idx, sandbox || '-' || i, phase, decision, allowed, span_id, at_ms - i \
     FROM decisions, n WHERE recovery = $3",
];

#[tokio::main]
async fn main() -> Result<()> {
    conditions("cost as records and ended recoveries grow");
    println!("{DEFINITION}");
    for files in [true, false] {
        if !files && skipped_without_a_server("growth on Postgres needs one") {
            continue;
        }
        println!("\n{}", if files { "SQLite" } else { "Postgres" });
        run(files).await?;
    }
    Ok(())
}

async fn run(files: bool) -> Result<()> {
    let options = Options {
        time_scale: 0.0001,
        settle: Duration::ZERO,
        lease_ttl: Duration::from_secs(30),
        keep_recoveries: 1_000_000,
        files,
        ..Options::default()
    };
    let fleet = Fleet::start(options).await?;
    let seed =
        Seed { image: "registry.test/agent:1".into(), rules: Some([].into()), ..Seed::default() };
    fleet.sandbox("lab", LOST, &seed).await?;
    fleet.adopt(&Fleet::name("lab", LOST)).await?;
    let (_, template) = recover(&fleet).await?;
    let journal = store::open(fleet.journal()).await;
    let mut there = 0;
    for records in if measuring() { &MEASURED[..] } else { &TRIED[..] } {
        let begun = Instant::now();
        let made = (there..*records).map(|at| create(&fleet, at));
        stream::iter(made).buffer_unordered(HANDS).try_collect::<()>().await?;
        let taken = begun.elapsed().as_secs_f64();
        copy(&journal, &template, there, *records).await?;
        println!(
            "{records} records, and as many ended recoveries (the records made in {taken:.0} s)"
        );
        there = *records;
        measure(&fleet, there).await?;
    }
    journal.close().await;
    fleet.stop().await;
    Ok(())
}

async fn create(fleet: &Fleet, at: usize) -> Result<()> {
    let spec = pb::Spec { dialect: 1, content: vec![7; 500], ..Default::default() };
    let sandbox = pb::Sandbox { name: name(at), spec: Some(spec), ..Default::default() };
    let request = pb::CreateSandboxRequest { sandbox: Some(sandbox), ..Default::default() };
    fleet.registry.clone().create_sandbox(request).await?;
    Ok(())
}

fn name(at: usize) -> String {
    Fleet::name("lab", &format!("s{at:06}"))
}

async fn copy(journal: &AnyPool, template: &str, from: usize, upto: usize) -> Result<()> {
    // The service waits for a lock as long as it takes to make so many.
    for from in (from..upto).step_by(1_000) {
        let upto = upto.min(from + 1_000);
        for copies in COPIES {
            let (table, rest) = copies.split_once(" SELECT").context("no SELECT")?;
            let numbers = "WITH RECURSIVE n (i) AS (SELECT CAST($1 AS BIGINT) UNION ALL \
                           SELECT i + 1 FROM n WHERE i < CAST($2 AS BIGINT))";
            let statement = format!("{numbers} {table} SELECT{rest}");
            sqlx::query(AssertSqlSafe(statement))
                .bind(i64::try_from(from)?)
                .bind(i64::try_from(upto)? - 1)
                .bind(template)
                .execute(journal)
                .await?;
        }
    }
    Ok(())
}

async fn measure(fleet: &Fleet, records: usize) -> Result<()> {
    // Far apart, and each one once before it comes again.
    let at = |round: usize| name(round * 7_919 % records);
    let many = rounds(1_000, 5);
    time("GetSandbox", many, async |round| get(fleet, at(round)).await.map(drop)).await?;
    time("Get and Update", many, async |round| update(fleet, at(round), round).await).await?;
    let start = middle(fleet, records).await?;
    time("ListSandboxes", rounds(100, 3), async |_| page(fleet, &start).await.map(drop)).await?;
    time("ListRecoveries", rounds(100, 3), async |_| recoveries(fleet).await).await?;
    let mut samples = Samples::default();
    for _ in 0..rounds(100, 2) {
        samples.push(recover(fleet).await?.0);
    }
    println!("  {:15} {samples}", "recovery");
    Ok(())
}

async fn time(what: &str, rounds: usize, work: impl AsyncFn(usize) -> Result<()>) -> Result<()> {
    let mut samples = Samples::default();
    for round in 0..rounds {
        let begun = Instant::now();
        work(round).await?;
        samples.push(begun.elapsed());
    }
    println!("  {what:15} {samples}");
    Ok(())
}

async fn get(fleet: &Fleet, name: String) -> Result<pb::Sandbox> {
    let request = pb::GetSandboxRequest { name, show_deleted: false };
    let answer = fleet.registry.clone().get_sandbox(request).await?.into_inner();
    answer.sandbox.context("no record")
}

/// With the read that gives the etag.
async fn update(fleet: &Fleet, name: String, round: usize) -> Result<()> {
    let mut sandbox = get(fleet, name).await?;
    sandbox.labels.insert("round".to_owned(), round.to_string());
    sandbox.spec = None;
    let mask = prost_types::FieldMask { paths: vec!["labels".to_owned()] };
    let request = pb::UpdateSandboxRequest {
        sandbox: Some(sandbox),
        update_mask: Some(mask),
        ..Default::default()
    };
    fleet.registry.clone().update_sandbox(request).await?;
    Ok(())
}

/// The token of a page in the middle.
async fn middle(fleet: &Fleet, records: usize) -> Result<String> {
    let mut token = String::new();
    for _ in 0..records / 2 / PAGE {
        token = page(fleet, &token).await?;
    }
    Ok(token)
}

async fn page(fleet: &Fleet, token: &str) -> Result<String> {
    let request = pb::ListSandboxesRequest {
        parent: "gateways/lab/workspaces/-".to_owned(),
        page_size: i32::try_from(PAGE)?,
        page_token: token.to_owned(),
        ..Default::default()
    };
    let answer = fleet.registry.clone().list_sandboxes(request).await?.into_inner();
    ensure!(!answer.sandboxes.is_empty(), "nothing is listed");
    Ok(answer.next_page_token)
}

async fn recoveries(fleet: &Fleet) -> Result<()> {
    let request = recovery::ListRecoveriesRequest::default();
    let answer = fleet.recovery.clone().list_recoveries(request).await?.into_inner();
    ensure!(!answer.recoveries.is_empty(), "nothing is listed");
    Ok(())
}

/// Loses the sandbox. Answers how long its recovery took, and the name of that.
async fn recover(fleet: &Fleet) -> Result<(Duration, String)> {
    let control = &fleet.gateway("lab").control;
    control.lose(LOST).await?;
    ensure!(control.wait_absent(LOST, PATIENCE).await, "{LOST} is still there");
    let begun = Instant::now();
    let name = Fleet::name("lab", LOST);
    let recovery = fleet.recover_to_the_end(&name, RecoveryPath::Rebuild).await?;
    let taken = begun.elapsed();
    ensure!(recovery.state() == State::Succeeded, "{recovery:#?}");
    Ok((taken, recovery.name))
}
