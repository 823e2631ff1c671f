//! The untrusted relay: listener, gate, journal store
