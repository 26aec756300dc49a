//! `salvor-otlp-sink`: stands in for a tracing backend where none can be had, and writes down each span that arrives.
//!
//! One JSON object a line, whole lines only. Deliberately absent: storage, queries, and authentication; it is for tests.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use anyhow::Context as _;
use clap::Parser;
use opentelemetry_proto::tonic::trace::v1::Span;
use salvor_testkit::otlp;
use serde_json::{Map, Value, json};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// Receives traces over OTLP gRPC and writes one JSON line per span
#[derive(Debug, Parser)]
#[command(name = "salvor-otlp-sink", version)]
struct Args {
    /// Where to receive; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:4317", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Append the lines to this file [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let out: Box<dyn Write + Send> = match &args.out {
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            Box::new(file.with_context(|| format!("cannot append to {}", path.display()))?)
        }
        None => Box::new(io::stdout()),
    };
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    writeln!(io::stderr(), "receiving on {}", listener.local_addr()?)?;
    let out = Mutex::new(out);
    let served = otlp::serve(listener, move |service, span| {
        let line = format!("{}\n", line(service, &span));
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
            // Whoever reads the lines must not take missing ones for spans that were never sent.
            let _ = writeln!(io::stderr(), "cannot write a span: {error}");
            std::process::exit(1);
        }
    });
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        served = served => served.context("the server ended"),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

fn line(service: &str, span: &Span) -> Value {
    let attributes: Map<String, Value> = span
        .attributes
        .iter()
        .filter_map(|attribute| Some((attribute.key.clone(), otlp::text(attribute)?.into())))
        .collect();
    json!({
        "service": service,
        "name": span.name,
        "trace_id": otlp::hex(&span.trace_id),
        "span_id": otlp::hex(&span.span_id),
        "parent": otlp::hex(&span.parent_span_id),
        "attributes": attributes,
    })
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};

    use super::*;

    #[test]
    fn a_line_names_the_service_the_ids_in_hex_and_the_attributes() {
        let value = AnyValue { value: Some(any_value::Value::IntValue(7)) };
        let span = Span {
            name: "guard x".to_owned(),
            trace_id: vec![0, 0xab],
            span_id: vec![1],
            attributes: vec![KeyValue {
                key: "n".to_owned(),
                value: Some(value),
                ..KeyValue::default()
            }],
            ..Span::default()
        };
        let expected = json!({
            "service": "salvor-registry", "name": "guard x", "trace_id": "00ab", "span_id": "01",
            "parent": "", "attributes": {"n": "7"},
        });
        assert_eq!(line("salvor-registry", &span), expected);
    }
}
