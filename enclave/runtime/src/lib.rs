//! The process around the core: links, inner TLS, storage, group commit
