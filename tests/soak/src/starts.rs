//! How each service is started.

use std::{ffi::OsString, net::SocketAddr, path::Path};

use salvor_runtime::database::Location;
use salvor_testkit::{process::program, store::Store};

use crate::{options::Options, plant::LEASE, service::Start};

/// How long something must have been seen to be believed, in milliseconds.
const SETTLE: &str = "150";

/// How services are to be started.
pub(crate) struct Parts<'a> {
    pub(crate) options: &'a Options,
    pub(crate) path: &'a Path,
    pub(crate) stores: &'a [Store; 2],
}

impl Parts<'_> {
    /// In the order in which they are started.
    pub(crate) fn starts(&self, addresses: &mut impl Iterator<Item = SocketAddr>) -> Vec<Start> {
        let replicas = self.options.replicas();
        let registries: Vec<_> = addresses.take(replicas).collect();
        let urls: Vec<_> = registries.iter().map(|address| format!("http://{address}")).collect();
        let urls = urls.join(",");
        let mut starts = Vec::new();
        for (index, address) in registries.into_iter().enumerate() {
            starts.push(self.start("registry", index + 1, address, self.registry()));
        }
        for (index, address) in addresses.take(replicas).enumerate() {
            starts.push(self.start("orchestrator", index + 1, address, self.orchestrator(&urls)));
        }
        for (index, address) in addresses.take(self.options.adapters()).enumerate() {
            starts.push(self.start("adapter", index + 1, address, self.adapter(&urls, index + 1)));
        }
        starts
    }

    fn start(
        &self,
        kind: &str,
        number: usize,
        address: SocketAddr,
        mut arguments: Vec<OsString>,
    ) -> Start {
        let name = format!("{kind}-{number}");
        let (program_name, store) = match kind {
            "registry" => ("salvor-registry", Some(&self.stores[0])),
            "orchestrator" => ("salvor-recovery-orchestrator", Some(&self.stores[1])),
            _ => ("salvor-gateway-adapter", None),
        };
        let mut environment = Vec::new();
        if let Some(Location::Server { schema, .. }) = store.map(Store::location) {
            arguments.extend(["--database-schema".into(), schema.as_str().into()]);
            let url = self.options.server().unwrap_or_default();
            environment.push(("SALVOR_DATABASE_URL", url.to_owned()));
        }
        arguments.extend(["--log".into(), OsString::from(&self.options.log)]);
        let log = self.path.join("logs").join(format!("{name}.log"));
        Start { name, program: program(program_name), address, arguments, environment, log }
    }

    fn registry(&self) -> Vec<OsString> {
        vec![
            "--data-dir".into(),
            self.path.join("registry").into(),
            "--seal-key-file".into(),
            self.path.join("seal.key").into(),
            "--change-log-retention".into(),
            self.options.change_log_retention.to_string().into(),
            "--request-retention".into(),
            self.options.request_retention.to_string().into(),
        ]
    }

    fn orchestrator(&self, registries: &str) -> Vec<OsString> {
        let lease = LEASE.as_secs().to_string();
        let mut arguments: Vec<OsString> = [
            ["--registry", registries],
            ["--lease-seconds", &lease],
            ["--ready-timeout-seconds", "20"],
            ["--absence-settle-ms", SETTLE],
            ["--gateway-settle-ms", SETTLE],
            ["--ready-settle-ms", SETTLE],
        ]
        .concat()
        .into_iter()
        .map(OsString::from)
        .collect();
        arguments.extend(["--data-dir".into(), self.path.join("orchestrator").into()]);
        let keep = self.options.keep_recoveries.to_string();
        arguments.extend(["--keep-recoveries".into(), keep.into()]);
        arguments
    }

    fn adapter(&self, registries: &str, number: usize) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = [
            ["--registry", registries],
            ["--heartbeat-ms", "500"],
            ["--refresh-ms", "1000"],
            ["--observe-ms", "10000"],
            ["--serving-ms", "3000"],
            ["--keep-pack-seconds", "60"],
            ["--keep-delete-seconds", "60"],
        ]
        .concat()
        .into_iter()
        .map(OsString::from)
        .collect();
        arguments.extend([
            "--data-dir".into(),
            self.path.join(format!("adapter-{number}")).into(),
            "--repository".into(),
            self.path.join("snapshots").into(),
            "--repository-password-file".into(),
            self.path.join("snapshots.key").into(),
        ]);
        arguments
    }
}
