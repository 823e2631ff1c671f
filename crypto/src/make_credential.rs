//! make_credential
