//! Sessions against an inner server with the real TLS settings, over a pipe.

mod connect;
mod lease;
mod requests;
mod server;
mod watch;
