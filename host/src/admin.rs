//! `/healthz`, `/readyz` and `/metrics` on their own address, over plain HTTP/1.1.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::gate::{Gate, State};
use crate::stop::stopped;
use crate::telemetry::Telemetry;

/// Connections at once: a probe, a scraper and a person.
const CONNECTIONS: usize = 32;
/// Longest request and answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// Time between two compactions of the histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// Answers about the host's state.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) gate: Arc<Gate>,
    pub(crate) telemetry: Arc<Telemetry>,
}

impl Admin {
    /// Serves until `stop`.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let mut upkeep = tokio::time::interval(UPKEEP);
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                _ = upkeep.tick() => self.telemetry.upkeep(),
                Some(ended) = connections.join_next() => if let Err(error) = ended {
                    tracing::error!(%error, "an admin connection's task failed");
                },
                Ok((tcp, _)) = listener.accept(), if connections.len() < CONNECTIONS => {
                    connections.spawn(Arc::clone(&self).connection(tcp));
                }
            }
        }
        connections.shutdown().await;
    }

    async fn connection(self: Arc<Self>, tcp: TcpStream) {
        let service = service_fn(|request| {
            let response = self.respond(&request);
            async move { Ok::<_, Infallible>(response) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(DEADLINE)
            .keep_alive(false)
            .serve_connection(TokioIo::new(tcp), service);
        match tokio::time::timeout(DEADLINE, served).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "admin connection failed"),
            Err(_) => tracing::debug!("admin connection was too slow"),
        }
    }

    fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return response(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".into());
        }
        match request.uri().path() {
            "/healthz" => response(StatusCode::OK, "text/plain", "alive\n".into()),
            "/metrics" => {
                let text = self.telemetry.render(self.gate.standing().state);
                response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
            }
            "/readyz" => self.ready(),
            _ => response(StatusCode::NOT_FOUND, "text/plain", "try /healthz, /readyz or /metrics\n".into()),
        }
    }

    /// The detail holds no quote and no backslash, so it needs no escape.
    fn ready(&self) -> Response<Full<Bytes>> {
        let standing = self.gate.standing();
        let (state, detail) = (standing.state.name(), standing.detail);
        if standing.state == State::Serving {
            let body = format!("{{\"ready\":true,\"state\":\"{state}\",\"vault\":\"{detail}\"}}\n");
            return response(StatusCode::OK, "application/json", body);
        }
        let body = format!("{{\"ready\":false,\"state\":\"{state}\",\"reason\":\"{detail}\"}}\n");
        response(StatusCode::SERVICE_UNAVAILABLE, "application/json", body)
    }
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
