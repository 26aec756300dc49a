//! Durable writes of the registry against those of a single etcd: compare-and-swap of one key or record per caller, a value of
//! the same size, the same disk, one after the other.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use salvor_benches::{Samples, conditions, rounds};
use salvor_proto::registry::v1 as pb;
use salvor_testkit::{Fleet, Options};
use tonic::{client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;

/// Bytes of one value: those of a small record.
const VALUE: usize = 2_000;

#[tokio::main]
async fn main() -> Result<()> {
    conditions("durable compare-and-swap: a single etcd, and the registry on SQLite, in turn");
    let fleet =
        Fleet::start(Options { orchestrator: false, files: true, ..Options::default() }).await?;
    let Some(etcd) = Etcd::start(&fleet.dir().join("etcd")).await? else {
        println!("etcd is not installed (Debian package etcd-server)");
        return Ok(());
    };
    for callers in [1, 16, 64] {
        let share = rounds(4_000, 64) / callers;
        let theirs = etcd.measured(callers, share).await?;
        let ours = measured(&fleet, callers, share).await?;
        println!(
            "{callers:3} in flight   etcd {theirs:8.0} per s   registry {ours:8.0} per s   {:5.2} times etcd's rate",
            ours / theirs
        );
    }
    drop(etcd);
    fleet.stop().await;
    Ok(())
}

/// Runs all writers at once; answers writes per second, and prints their times.
async fn at_once<W: Future<Output = Result<Vec<Duration>>>>(
    what: &str,
    writers: impl Iterator<Item = W>,
) -> Result<f64> {
    let begun = Instant::now();
    let taken = futures::future::try_join_all(writers).await?;
    let took = begun.elapsed();
    let samples: Samples = taken.into_iter().flatten().collect();
    println!("  {what:9} {samples}");
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    Ok(samples.len() as f64 / took.as_secs_f64())
}

async fn measured(fleet: &Fleet, callers: usize, share: usize) -> Result<f64> {
    let mut records = Vec::new();
    for index in 0..callers {
        let spec = pb::Spec { dialect: 1, content: vec![7; VALUE], ..Default::default() };
        let name = Fleet::name("lab", &format!("of{callers}-{index:03}"));
        let sandbox = pb::Sandbox { name, spec: Some(spec), ..Default::default() };
        let request = pb::CreateSandboxRequest { sandbox: Some(sandbox), ..Default::default() };
        let created = fleet.registry.clone().create_sandbox(request).await?.into_inner();
        records.push(created.sandbox.context("no record")?);
    }
    at_once("registry", records.into_iter().map(|record| write(fleet, record, share))).await
}

async fn write(fleet: &Fleet, mut record: pb::Sandbox, share: usize) -> Result<Vec<Duration>> {
    let mut samples = Vec::with_capacity(share);
    for round in 0..share {
        let mut sandbox = record;
        sandbox.labels.insert("round".to_owned(), round.to_string());
        // What the last answer redacted is not sent back.
        sandbox.spec = None;
        let request = pb::UpdateSandboxRequest {
            sandbox: Some(sandbox),
            update_mask: Some(prost_types::FieldMask { paths: vec!["labels".to_owned()] }),
            ..Default::default()
        };
        let begun = Instant::now();
        let answer = fleet.registry.clone().update_sandbox(request).await?.into_inner();
        samples.push(begun.elapsed());
        record = answer.sandbox.context("no record")?;
    }
    Ok(samples)
}

/// A server of its own. Dropped, it is killed.
struct Etcd {
    process: Child,
    channel: Channel,
}

// === impl Etcd ===

impl Etcd {
    /// `None` when it is not installed.
    async fn start(directory: &Path) -> Result<Option<Self>> {
        let (clients, peers) = (free()?, free()?);
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(directory).args(["--log-level", "error"]);
        for (flag, url) in [("client", &clients), ("peer", &peers)] {
            command.args([format!("--listen-{flag}-urls"), url.clone()]);
        }
        command.args(["--advertise-client-urls", &clients]);
        command.args(["--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &format!("default={peers}")]);
        let spawned = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = match spawned {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            spawned => spawned?,
        };
        let channel = Channel::from_shared(clients)?.connect_lazy();
        let etcd = Self { process, channel };
        let begun = Instant::now();
        while etcd.swap(b"ready", 0).await.is_err() {
            ensure!(begun.elapsed() < Duration::from_secs(30), "etcd does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Some(etcd))
    }

    async fn measured(&self, callers: usize, share: usize) -> Result<f64> {
        let keys = (0..callers).map(|index| format!("of{callers}-{index:03}").into_bytes());
        at_once("etcd", keys.map(|key| self.write(key, share))).await
    }

    async fn write(&self, key: Vec<u8>, share: usize) -> Result<Vec<Duration>> {
        let (mut samples, mut revision) = (Vec::with_capacity(share), 0);
        for _ in 0..share {
            let begun = Instant::now();
            revision = self.swap(&key, revision).await?;
            samples.push(begun.elapsed());
        }
        Ok(samples)
    }

    /// Writes a value if the key is still at this revision, zero for none; answers the new one.
    async fn swap(&self, key: &[u8], revision: i64) -> Result<i64> {
        let compare = Compare { result: 0, target: 2, key: key.to_vec(), mod_revision: revision };
        let put = Put { key: key.to_vec(), value: vec![7; VALUE] };
        let transaction =
            Transaction { compare: vec![compare], success: vec![Operation { put: Some(put) }] };
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await?;
        let path = PathAndQuery::from_static("/etcdserverpb.KV/Txn");
        let codec = ProstCodec::<Transaction, Answer>::default();
        let answer = client.unary(tonic::Request::new(transaction), path, codec).await?;
        let answer = answer.into_inner();
        ensure!(answer.succeeded, "somebody else wrote");
        Ok(answer.header.context("no header")?.revision)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An address that nobody listens on at this moment.
fn free() -> Result<String> {
    Ok(format!("http://{}", TcpListener::bind("127.0.0.1:0")?.local_addr()?))
}

// The parts of etcd's `rpc.proto` that are used here.

#[derive(Clone, PartialEq, prost::Message)]
struct Transaction {
    #[prost(message, repeated, tag = "1")]
    compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    success: Vec<Operation>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Compare {
    /// 0: equal.
    #[prost(int32, tag = "1")]
    result: i32,
    /// 2: the revision at which it was last written.
    #[prost(int32, tag = "2")]
    target: i32,
    #[prost(bytes = "vec", tag = "3")]
    key: Vec<u8>,
    #[prost(int64, tag = "6")]
    mod_revision: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Operation {
    #[prost(message, optional, tag = "2")]
    put: Option<Put>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Put {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(bool, tag = "2")]
    succeeded: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(int64, tag = "3")]
    revision: i64,
}
