//! The untrusted relay: listener, gate, journal store.
//!
//! Trusted for: nothing. The enclave and the agents treat every byte of this process as hostile; it can deny
//! service, count and time messages and see their sizes. It links nothing that could decrypt: of the
//! workspace it depends on `vouchsafe-protocol` alone.
//!
//! What it does: it ends the outer TLS, lets a session pass its gate only with a client certificate that the
//! vault issued, splices bytes between agents and the enclave, and keeps streams of sealed frames durably.
//! It never reads, logs or labels a metric with what it relays or stores.
//!
//! Left to its caller: where it listens ([`options::Options`]) and when it stops ([`host::Host::run`]).

pub mod address;
pub mod host;
pub mod options;
pub mod store;

mod admin;
mod connection;
mod data_dir;
mod gate;
mod listener;
mod peers;
mod splice;
mod stop;
mod storage_link;
mod telemetry;
mod tls;
