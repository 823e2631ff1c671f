//! The core: a deterministic state machine without I/O
