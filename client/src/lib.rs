//! SDK for agents and operators: introduce, verify the vault, session, requests
