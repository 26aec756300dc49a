//! A damaged row harms itself alone.

use salvor_proto::registry::v1::*;
use salvor_runtime::database::Location;
use salvor_testkit::store::skipped_on_a_server;
use tonic::Code;

use crate::support::*;

/// What is done to a stored message.
type Damage = fn(Vec<u8>) -> Vec<u8>;

async fn damage(harness: &Harness, table: &str, damage: Damage, name: &str) {
    let database = harness.database().await;
    let current = if table == "records" { "AND superseded IS NULL" } else { "" };
    let read = format!("SELECT message FROM {table} WHERE name = $1 {current}");
    let read = sqlx::query_scalar(sqlx::AssertSqlSafe(read)).bind(name);
    let message: Vec<u8> = read.fetch_one(&database).await.unwrap();
    let write = format!("UPDATE {table} SET message = $2 WHERE name = $1 {current}");
    let write = sqlx::query(sqlx::AssertSqlSafe(write)).bind(name).bind(damage(message));
    assert_eq!(write.execute(&database).await.unwrap().rows_affected(), 1);
}

async fn change_state(harness: &Harness, name: &str) {
    let database = harness.database().await;
    let write = sqlx::query("UPDATE records SET state = 2 WHERE name = $1").bind(name);
    assert_eq!(write.execute(&database).await.unwrap().rows_affected(), 1);
}

fn garbage(_: Vec<u8>) -> Vec<u8> {
    vec![0xff, 0xff]
}

#[tokio::test]
async fn a_damaged_row_is_named_and_can_be_healed_from_a_snapshot() {
    let longer = |message: Vec<u8>| [message, vec![0x0a, 0x00]].concat();
    for of_message in [Some(garbage as Damage), Some(|_| Vec::new()), Some(longer), None] {
        let mut harness = Harness::start().await;
        let (a, b) = (harness.create("a").await, harness.create("b").await);
        let snapshot = SnapshotEntryRequest { name: a.name.clone() };
        let snapshot = harness.client.snapshot_entry(snapshot).await.unwrap().into_inner().snapshot;
        match of_message {
            Some(how) => damage(&harness, "records", how, &a.name).await,
            None => change_state(&harness, &a.name).await,
        }
        let received = refused(harness.get(&a.name).await, Code::DataLoss, "RECORD_UNREADABLE");
        assert_eq!((&received.metadata["name"], &received.metadata["etag"]), (&a.name, &a.etag));
        refused(
            harness.client.update_sandbox(update(&a, &["live_id"])).await,
            Code::DataLoss,
            "RECORD_UNREADABLE",
        );
        let list = harness.list().await;
        assert_eq!(
            (list.unreadable.as_slice(), list.sandboxes.as_slice()),
            (&[a.name.clone()][..], &[b.clone()][..])
        );
        harness.client.update_sandbox(update(&b, &["live_id"])).await.unwrap();
        let etag = received.metadata["etag"].clone();
        let restore = RestoreEntryRequest { snapshot, etag, fence_token: 0 };
        let healed = harness.client.restore_entry(restore).await.sandbox();
        assert_eq!((&healed.uid, &healed.spec), (&a.uid, &a.spec));
        assert!(harness.list().await.unreadable.is_empty());
    }
}

#[tokio::test]
async fn a_damaged_default_gives_the_pointer_up_and_stays_damaged() {
    let mut harness = Harness::start().await;
    let (a, b) = (harness.create("a").await, harness.create("b").await);
    let set = |name: &str| SetDefaultSandboxRequest { name: name.into() };
    harness.client.set_default_sandbox(set(&a.name)).await.unwrap();
    damage(&harness, "records", garbage, &a.name).await;
    let default = harness.client.get_default_sandbox(GetDefaultSandboxRequest {}).await;
    refused(default, Code::DataLoss, "RECORD_UNREADABLE");
    let previous = harness.client.set_default_sandbox(set(&b.name)).await.unwrap().into_inner();
    assert_eq!(previous.previous, a.name);
    assert!(harness.get(&b.name).await.unwrap().is_default);
    refused(harness.get(&a.name).await, Code::DataLoss, "RECORD_UNREADABLE");
    let back = harness.client.set_default_sandbox(set(&a.name)).await;
    refused(back, Code::DataLoss, "RECORD_UNREADABLE");
}

#[tokio::test]
async fn a_damaged_gateway_is_named_and_the_others_are_listed() {
    let mut harness = Harness::start().await;
    damage(&harness, "gateways", garbage, "gateways/edge").await;
    let get = GetGatewayRequest { name: "gateways/edge".into() };
    refused(harness.client.get_gateway(get).await, Code::DataLoss, "GATEWAY_UNREADABLE");
    let listed = harness
        .client
        .list_gateways(ListGatewaysRequest::default())
        .await
        .unwrap()
        .into_inner()
        .gateways;
    let names: Vec<&str> = listed.iter().map(|gateway| gateway.name.as_str()).collect();
    assert_eq!(names, ["gateways/edge", "gateways/lab"]);
    assert_eq!(listed[0].heartbeat.as_ref().unwrap().reason, "GATEWAY_UNREADABLE");
    harness.create("gateways/edge/workspaces/default/sandboxes/a").await;
    harness.client.register_gateway(register("gateways/edge")).await.unwrap();
    let get = GetGatewayRequest { name: "gateways/edge".into() };
    harness.client.get_gateway(get).await.unwrap();
}

#[tokio::test]
async fn a_newer_database_is_refused_untouched() {
    let harness = Harness::start().await;
    let database = harness.database().await;
    let newer = if harness.config.database.is_shared() {
        "UPDATE schema_version SET version = 99"
    } else {
        "PRAGMA user_version = 99"
    };
    sqlx::raw_sql(newer).execute(&database).await.unwrap();
    let error = salvor_registry::Registry::open(&harness.config).await.unwrap_err().to_string();
    assert!(error.contains("99") && error.contains("Nothing was changed"), "{error}");
}

#[tokio::test]
async fn a_damaged_database_is_refused_untouched() {
    if skipped_on_a_server("a damaged file") {
        return;
    }
    for damage in [&b"not a database"[..], &[0x5a; 4096]] {
        let harness = Harness::start().await;
        let file = harness.config.database.file().unwrap().to_owned();
        let mut content = std::fs::read(&file).unwrap();
        content[..damage.len()].copy_from_slice(damage);
        let other = tempfile::tempdir().unwrap();
        let copy = other.path().join("registry.db");
        let database = Location::File(copy.clone());
        let config = salvor_registry::Config { database, ..harness.config.clone() };
        std::fs::write(&copy, &content).unwrap();
        let error = salvor_registry::Registry::open(&config).await.unwrap_err().to_string();
        assert!(error.contains("damaged") && error.contains("restore a copy"), "{error}");
        assert_eq!(std::fs::read(&copy).unwrap(), content);
    }
}
