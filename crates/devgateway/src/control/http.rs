//! The control endpoint for other processes: JSON over HTTP, on loopback only.
//!
//! `POST /control` takes an [`Order`]; `GET /calls`, `/sandboxes`, `/faults` and `/orphans`
//! answer what the in-process handle would.
//!
//! Deliberately absent: authentication. Whoever reaches loopback may do anything here.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Control, Order};
use crate::gateway::Error;

/// Largest order, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// Serves until the gateway ends. Returns the bound address.
pub(crate) async fn serve(control: Control, address: SocketAddr) -> Result<SocketAddr, Error> {
    let bind = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let bound = listener.local_addr().map_err(bind)?;
    let over = control.world().over.clone();
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                () = over.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else { continue };
            let (control, over) = (control.clone(), over.clone());
            tokio::spawn(async move {
                let service = tower::service_fn(move |request| {
                    let control = control.clone();
                    async move { Ok::<_, Infallible>(answer(&control, request).await) }
                });
                let builder = Builder::new(TokioExecutor::new());
                let served = builder
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
                tokio::select! {
                    () = over.cancelled() => {}
                    result = served => {
                        if let Err(error) = result {
                            tracing::debug!(%error, "control connection ended");
                        }
                    }
                }
            });
        }
    });
    Ok(bound)
}

async fn answer(
    control: &Control,
    request: http::Request<Incoming>,
) -> http::Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let result = match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/calls") => Ok(json!(control.calls())),
        (&Method::GET, "/sandboxes") => Ok(json!(control.sandboxes())),
        (&Method::GET, "/faults") => Ok(json!(control.faults())),
        (&Method::GET, "/orphans") => Ok(json!(control.orphans())),
        (&Method::POST, "/control") => match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => match serde_json::from_slice(&body.to_bytes()) {
                Ok(order) => carry_out(control, order).await,
                Err(error) => Err((StatusCode::BAD_REQUEST, error.to_string())),
            },
            Err(error) => Err((StatusCode::BAD_REQUEST, error.to_string())),
        },
        (_, path) => Err((StatusCode::NOT_FOUND, format!("nothing at {path}"))),
    };
    let (status, value) = match result {
        Ok(value) => (StatusCode::OK, value),
        Err((status, message)) => (status, json!({ "error": message })),
    };
    let mut response = http::Response::new(Full::new(Bytes::from(value.to_string())));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

async fn carry_out(control: &Control, order: Order) -> Result<Value, (StatusCode, String)> {
    match control.carry_out(order).await {
        Ok(Some(id)) => Ok(json!({ "id": id })),
        Ok(None) => Ok(json!({})),
        Err(error) => Err(refused(&error)),
    }
}

fn refused(error: &super::Error) -> (StatusCode, String) {
    let status = match error {
        super::Error::NoSandbox(_) => StatusCode::NOT_FOUND,
        super::Error::Refused { .. } => StatusCode::CONFLICT,
    };
    (status, error.to_string())
}
