//! Secret types and every cryptographic primitive that Vouchsafe uses.
//!
//! Trusted for: keys that cannot be printed, copied or left unwiped; one algorithm per purpose.
//! Not trusted for: what a key is used for; labels live with their one user and are listed in `docs/KEYS.md`.
//! Left to the caller: nonces, where a function takes one; the reason it cannot repeat stands at the call.

pub mod aead;
pub mod derive;
pub mod digest;
pub mod hybrid_kx;
pub mod make_credential;
pub mod random;
pub mod secret;
pub mod signature;
pub mod tls;
pub mod transcript;
pub mod transit;
pub mod verify;
