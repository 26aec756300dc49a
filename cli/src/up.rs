//! `salvor up`: the three services in this process, until a signal.

pub(crate) mod stack;

use salvor_devgateway::Dialect;
use salvor_gateway_adapter::RuntimeSettings;
use salvor_proto::registry::v1::{Gateway, UpdateGatewayRequest};
use salvor_runtime::Shutdown;
use serde_json::json;

use crate::args::{DialectName, UpArgs, default_data_dir};
use crate::client::{Clients, chain};
use crate::commands::gateways;
use crate::exit::{Exit, Failure};
use crate::next_step::NextStep;
use crate::output::Output;
use crate::render::{Look, Tone, next, table};
use stack::{DevGatewaySettings, Ports, Settings, Stack};

/// What the development gateway is registered as.
const DEV: &str = "gateways/dev";

// === impl DialectName ===

impl From<DialectName> for Dialect {
    fn from(name: DialectName) -> Self {
        match name {
            DialectName::V0_0 => Self::V0_0,
            DialectName::V0_1 => Self::V0_1,
        }
    }
}

/// `salvor up`.
pub(crate) async fn run(args: &UpArgs, output: &Output) -> Result<Exit, Failure> {
    let shutdown = Shutdown::new();
    shutdown.on_signals().map_err(|error| Failure::internal(chain(&error)))?;
    let data_dir = args.data_dir.clone().unwrap_or_else(default_data_dir);
    let devgateway = args.with_devgateway.then(|| DevGatewaySettings {
        port: args.devgateway_port,
        dialect: args.devgateway_dialect.into(),
        time_scale: 1.0,
    });
    let ports = Ports {
        registry: args.registry_port,
        orchestrator: args.orchestrator_port,
        adapter: args.adapter_port,
    };
    let runtime = args.runtime_socket.clone().map(|socket| RuntimeSettings {
        socket,
        gateways: Vec::new(),
        live: args.runtime_live,
    });
    let (repository, reclaim) = (args.repository.clone(), args.reclaim.rules());
    let settings =
        Settings { data_dir, ports, devgateway, repository, runtime, reclaim, quick: None };
    let mut stack = Stack::start(settings).await?;
    let ended = tokio::select! {
        ended = serve(&mut stack, output) => ended,
        () = shutdown.triggered() => Ok(()),
    };
    stack.stop().await;
    ended.map(|()| Exit::Done)
}

/// Registers the development gateway, says where everything is, and goes on until a service ends by itself.
async fn serve(stack: &mut Stack, output: &Output) -> Result<(), Failure> {
    if let Some(uri) = stack.devgateway_uri() {
        register_dev(&stack.clients(), &uri).await?;
    }
    if output.is_json() {
        output.json(&json!({
            "registry": stack.registry_url(),
            "orchestrator": stack.orchestrator_url(),
            "adapter": stack.adapter_url(),
            "devgateway": stack.devgateway_uri(),
            "data_dir": stack.data_dir().display().to_string(),
        }));
    } else {
        output.text(&welcome(stack, output.look()));
    }
    Err(stack.ended().await)
}

/// Makes the development gateway known, or says where it listens this time.
async fn register_dev(clients: &Clients, uri: &str) -> Result<(), Failure> {
    let gateway = Gateway { name: DEV.to_owned(), endpoint: uri.to_owned(), ..Gateway::default() };
    match gateways::register(clients, gateway).await {
        Err(failure) if failure.exit == Exit::Conflict => {}
        other => return other.map(|_| ()),
    }
    let mut known = gateways::get(clients, DEV).await?;
    if known.endpoint == uri {
        return Ok(());
    }
    uri.clone_into(&mut known.endpoint);
    let update_mask = Some(prost_types::FieldMask { paths: vec!["endpoint".to_owned()] });
    let request = UpdateGatewayRequest { gateway: Some(known), update_mask };
    clients.registry()?.update_gateway(request).await?;
    Ok(())
}

fn welcome(stack: &Stack, look: Look) -> String {
    let mut rows = vec![
        row("registry", &stack.registry_url(), "records, leases, watch"),
        row("recovery-orchestrator", &stack.orchestrator_url(), "plans, recoveries, decisions"),
        row("gateway-adapter", &stack.adapter_url(), "speaks to the gateways"),
    ];
    if let Some(uri) = stack.devgateway_uri() {
        rows.push(row("development gateway", &uri, "openshell.v1, registered as dev"));
    }
    let mut text = table(&["SERVICE", "ADDRESS", "WHAT IT IS FOR"], rows, "", look);
    text.extend([format!("data in {}; Ctrl-C ends it\n", stack.data_dir().display())]);
    if stack.registry_url() != "http://127.0.0.1:7301"
        || stack.orchestrator_url() != "http://127.0.0.1:7302"
        || stack.adapter_url() != "http://127.0.0.1:7303"
    {
        text.extend([format!(
            "in other shells: export SALVOR_REGISTRY={} SALVOR_ORCHESTRATOR={} SALVOR_ADAPTER={}\n",
            stack.registry_url(),
            stack.orchestrator_url(),
            stack.adapter_url()
        )]);
    }
    text.push_str(&next(
        &if stack.devgateway_uri().is_some() {
            NextStep::AdoptFromDev
        } else {
            NextStep::FirstSteps
        }
        .of(""),
        look,
    ));
    text
}

fn row(name: &str, address: &str, what: &str) -> Vec<(Tone, String)> {
    vec![
        (Tone::Strong, name.to_owned()),
        (Tone::Plain, address.to_owned()),
        (Tone::Dim, what.to_owned()),
    ]
}
