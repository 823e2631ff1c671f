//! Introductions and initialisation against a fake vault behind a fake host, over real TLS on loopback.

mod exchange;
mod host;
mod pins;
mod steps;
