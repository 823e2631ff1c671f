//! Text files of operators and agents.

use vouchsafe_client::policy;
use vouchsafe_protocol::policy_check::check_role;

use crate::Target;

pub(crate) const TARGETS: &[Target] = &[("policy", compile)];

/// What compiles passes the enclave's own check.
fn compile(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(roles) = policy::compile(&[("fuzz.toml", text)]) {
        for role in roles {
            check_role(&role).unwrap();
        }
    }
}
